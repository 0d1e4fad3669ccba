package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// levelTrace is below every level that New takes: hashicorp/raft traces nothing that anybody reads.
const levelTrace = slog.LevelDebug - 4

// HCLog lends l to a HashiCorp library. The name is shown as the attribute component. SetLevel does
// nothing: the level is l's.
func HCLog(l *slog.Logger, name string) hclog.Logger {
	return newHCLogger(l, name, nil)
}

// hcLogger maps hclog's calls to slog's. Its logger is made from base, name and implied.
type hcLogger struct {
	base    *slog.Logger
	log     *slog.Logger
	name    string
	implied []any
}

func newHCLogger(base *slog.Logger, name string, implied []any) *hcLogger {
	attrs := toAttrs(implied)
	if name != "" {
		attrs = append([]slog.Attr{slog.String("component", name)}, attrs...)
	}
	made := base
	if len(attrs) > 0 {
		made = slog.New(base.Handler().WithAttrs(attrs))
	}
	return &hcLogger{base: base, log: made, name: name, implied: implied}
}

func (h *hcLogger) Log(level hclog.Level, msg string, args ...any) {
	if level == hclog.Off {
		return
	}
	h.emit(slogLevel(level), msg, args)
}

func (h *hcLogger) Trace(msg string, args ...any) { h.emit(levelTrace, msg, args) }
func (h *hcLogger) Debug(msg string, args ...any) { h.emit(slog.LevelDebug, msg, args) }
func (h *hcLogger) Info(msg string, args ...any)  { h.emit(slog.LevelInfo, msg, args) }
func (h *hcLogger) Warn(msg string, args ...any)  { h.emit(slog.LevelWarn, msg, args) }
func (h *hcLogger) Error(msg string, args ...any) { h.emit(slog.LevelError, msg, args) }

func (h *hcLogger) emit(level slog.Level, msg string, args []any) {
	if ctx := context.Background(); h.log.Enabled(ctx, level) {
		h.log.LogAttrs(ctx, level, msg, toAttrs(args)...)
	}
}

func (h *hcLogger) IsTrace() bool { return h.enabled(levelTrace) }
func (h *hcLogger) IsDebug() bool { return h.enabled(slog.LevelDebug) }
func (h *hcLogger) IsInfo() bool  { return h.enabled(slog.LevelInfo) }
func (h *hcLogger) IsWarn() bool  { return h.enabled(slog.LevelWarn) }
func (h *hcLogger) IsError() bool { return h.enabled(slog.LevelError) }

func (h *hcLogger) enabled(l slog.Level) bool { return h.log.Enabled(context.Background(), l) }

func (h *hcLogger) ImpliedArgs() []any { return h.implied }

func (h *hcLogger) With(args ...any) hclog.Logger {
	implied := append(append([]any(nil), h.implied...), args...)
	return newHCLogger(h.base, h.name, implied)
}

func (h *hcLogger) Name() string { return h.name }

func (h *hcLogger) Named(name string) hclog.Logger {
	if h.name != "" {
		name = h.name + "." + name
	}
	return newHCLogger(h.base, name, h.implied)
}

func (h *hcLogger) ResetNamed(name string) hclog.Logger {
	return newHCLogger(h.base, name, h.implied)
}

func (h *hcLogger) SetLevel(hclog.Level) {}

func (h *hcLogger) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if h.enabled(slogLevel(l)) {
			return l
		}
	}
	return hclog.Off
}

func (h *hcLogger) StandardLogger(opts *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(h.StandardWriter(opts), "", 0)
}

// StandardWriter takes a level from a leading [DEBUG], [WARN] …, as memberlist writes them, unless
// opts force one.
func (h *hcLogger) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	w := &levelWriter{log: h}
	if opts != nil {
		w.force = opts.ForceLevel
	}
	return w
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return levelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// toAttrs pairs keys and values. hclog.Fmt values are formatted here, so only when they are printed.
func toAttrs(args []any) []slog.Attr {
	attrs := make([]slog.Attr, 0, (len(args)+1)/2)
	for len(args) > 1 {
		value := args[1]
		if f, ok := value.(hclog.Format); ok && len(f) > 0 {
			value = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		attrs = append(attrs, slog.Any(fmt.Sprint(args[0]), value))
		args = args[2:]
	}
	if len(args) == 1 {
		attrs = append(attrs, slog.Any(hclog.MissingKey, args[0]))
	}
	return attrs
}

// levelWriter turns each Write, which is one record of a *log.Logger, into a record.
type levelWriter struct {
	log   *hcLogger
	force hclog.Level // NoLevel: take it from the text
}

func (w *levelWriter) Write(p []byte) (int, error) {
	level, text := splitLevel(bytes.TrimRight(p, "\r\n"))
	if w.force != hclog.NoLevel {
		level = w.force
	}
	w.log.Log(level, string(text))
	return len(p), nil
}

func splitLevel(line []byte) (hclog.Level, []byte) {
	tag, rest, ok := bytes.Cut(line, []byte("]"))
	if !ok || len(tag) == 0 || tag[0] != '[' {
		return hclog.Info, line
	}
	word := string(tag[1:])
	if word == "ERR" {
		word = "ERROR"
	}
	level := hclog.LevelFromString(word)
	if level == hclog.NoLevel || level == hclog.Off {
		return hclog.Info, line
	}
	return level, bytes.TrimLeft(rest, " ")
}
