package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LevelFatal is for the last record before the process gives up.
const LevelFatal = slog.Level(12)

// New makes a logger that writes to w. Level is debug, info, warn, error or fatal in any case, format
// is text or json. The prefix starts each line of the text form; JSON has none. With a *Buffer no call
// that logs waits, and the logger's form is that of the Buffer's own lines.
func New(w io.Writer, level, format, prefix string) (*slog.Logger, error) {
	min, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	switch format {
	case "text":
		return slog.New(newTextHandler(w, min, prefix)), nil
	case "json":
		return slog.New(newJSONHandler(w, min)), nil
	default:
		return nil, fmt.Errorf("unknown log format %q (text or json)", format)
	}
}

func newTextHandler(w io.Writer, min slog.Level, prefix string) slog.Handler {
	h := &textHandler{out: &lineWriter{w: w}, level: min, prefix: prefix}
	if b, ok := w.(*Buffer); ok {
		h.out = b
		b.describe(func(d drops) []byte { return h.line(d.record()) })
	}
	return h
}

func newJSONHandler(w io.Writer, min slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: min, ReplaceAttr: jsonAttr}
	if b, ok := w.(*Buffer); ok {
		w = jsonLines{b}
		b.describe(func(d drops) []byte {
			var line bytes.Buffer
			_ = slog.NewJSONHandler(&line, options).Handle(context.Background(), d.record()) // a bytes.Buffer takes all
			return line.Bytes()
		})
	}
	return slog.NewJSONHandler(w, options)
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
