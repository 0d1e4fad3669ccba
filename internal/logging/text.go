package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// timeForm is what the standard log package prints with Ldate, Ltime and Lmicroseconds, as
// nsqlookupd does (nsqio/nsq, nsqlookupd/nsqlookupd.go).
const timeForm = "2006/01/02 15:04:05.000000"

// sink takes lines that have a level.
type sink interface {
	write(level slog.Level, line []byte) error
}

// lineWriter is a sink that waits for its writer.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) write(_ slog.Level, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.w.Write(line)
	return err
}

// textHandler prints `prefix time LEVEL: message key=value …`.
type textHandler struct {
	out    sink
	level  slog.Level
	prefix string
	attrs  []byte // rendered once, in WithAttrs
	group  string // "" or ends with a dot
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	return h.out.write(r.Level, h.line(r))
}

// line is a record as one line.
func (h *textHandler) line(r slog.Record) []byte {
	b := make([]byte, 0, 256)
	b = append(b, h.prefix...)
	if !r.Time.IsZero() {
		b = r.Time.AppendFormat(b, timeForm)
		b = append(b, ' ')
	}
	b = append(b, levelName(r.Level)...)
	b = append(b, ": "...)
	b = appendMessage(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.group, a)
		return true
	})
	return append(b, '\n')
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		c.attrs = appendAttr(c.attrs, h.group, a)
	}
	return &c
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.group += name + "."
	return &c
}

// appendMessage keeps a message readable, but on one line: what a client sent must not be able to
// forge a second one.
func appendMessage(b []byte, s string) []byte {
	if strings.IndexFunc(s, unprintable) < 0 {
		return append(b, s...)
	}
	quoted := strconv.Quote(s)
	return append(b, quoted[1:len(quoted)-1]...)
}

func appendAttr(b []byte, group string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return b
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			b = appendAttr(b, group, member)
		}
		return b
	}
	b = append(b, ' ')
	b = appendWord(b, group+a.Key)
	b = append(b, '=')
	return appendWord(b, valueText(v))
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		switch x := v.Any().(type) {
		case []byte:
			return string(x)
		case error: // %+v would print the stack that some errors carry
			return fmt.Sprintf("%v", x)
		default:
			return fmt.Sprintf("%+v", x)
		}
	default:
		return v.String()
	}
}

func appendWord(b []byte, s string) []byte {
	if s == "" || strings.ContainsAny(s, ` "=`) || strings.IndexFunc(s, unprintable) >= 0 {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
