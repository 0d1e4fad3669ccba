package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LevelFatal is for the last record before the process gives up.
const LevelFatal = slog.Level(12)

// New makes a logger that writes to w. Level is debug, info, warn, error or fatal in any case, format
// is text or json. The prefix starts each line of the text form; JSON has none.
func New(w io.Writer, level, format, prefix string) (*slog.Logger, error) {
	min, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	switch format {
	case "text":
		return slog.New(&textHandler{out: &lineWriter{w: w}, level: min, prefix: prefix}), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min, ReplaceAttr: jsonAttr})), nil
	default:
		return nil, fmt.Errorf("unknown log format %q (text or json)", format)
	}
}

func parseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	case "fatal":
		return LevelFatal, nil
	default:
		return 0, fmt.Errorf("unknown log level %q (debug, info, warn, error or fatal)", s)
	}
}

// levelName is the word that nsqlookupd prints (nsqio/nsq, internal/lg).
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	case l < LevelFatal:
		return "ERROR"
	default:
		return "FATAL"
	}
}

// jsonAttr gives JSON the level names and the durations of the text form.
func jsonAttr(groups []string, a slog.Attr) slog.Attr {
	if l, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.String(a.Key, levelName(l))
	}
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}
