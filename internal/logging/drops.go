package logging

import (
	"bytes"
	"log/slog"
	"strconv"
	"time"
)

// drops counts lines that were dropped.
type drops struct {
	lines    int
	warnings int // of them, at this level or above
}

func (d *drops) add(level slog.Level) {
	d.lines++
	if level >= slog.LevelWarn {
		d.warnings++
	}
}

// dropped is the message of the line about drops.
const dropped = "log lines were dropped here because nobody took them in time"

// plain is the line about drops before a logger is made.
func (d drops) plain() []byte {
	return []byte(dropped + ": " + strconv.Itoa(d.lines) + "\n")
}

// record is the line about drops as a logger writes it.
func (d drops) record() slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, dropped, 0)
	r.AddAttrs(slog.Int("lines", d.lines), slog.Int("warnings_and_errors", d.warnings))
	return r
}

// wholeLines returns how many bytes of text go into one Write: lines of up to writeSize together, or
// one longer line. Text is not empty and ends with a line.
func wholeLines(text []byte) int {
	if len(text) <= writeSize {
		return len(text)
	}
	if end := bytes.LastIndexByte(text[:writeSize], '\n'); end >= 0 {
		return end + 1
	}
	return writeSize + bytes.IndexByte(text[writeSize:], '\n') + 1
}

// jsonLines gives a buffer the level of each JSON line, which slog's handler does not hand on.
type jsonLines struct{ *Buffer }

var levelField = []byte(`"` + slog.LevelKey + `":"`)

// Write implements io.Writer.
func (j jsonLines) Write(line []byte) (int, error) {
	if err := j.write(levelOfJSON(line), line); err != nil {
		return 0, err
	}
	return len(line), nil
}

// levelOfJSON reads the level from the beginning of a line, where slog puts it before all that a
// caller can choose.
func levelOfJSON(line []byte) slog.Level {
	const behindTime = 80
	_, rest, found := bytes.Cut(line[:min(len(line), behindTime)], levelField)
	if !found || len(rest) == 0 {
		return LevelFatal
	}
	switch rest[0] {
	case 'D':
		return slog.LevelDebug
	case 'I':
		return slog.LevelInfo
	case 'W':
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
