package logging

import (
	"os"
	"testing"
)

func BenchmarkBuffer(b *testing.B) {
	buffer := NewBuffer(newNull(b), 1<<20)
	defer func() { _ = buffer.Close(patience) }()
	l, err := New(buffer, "info", "text", "[nsqlookupd] ")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Info("client connected", "address", "127.0.0.1:1234", "session", 12)
	}
}

func BenchmarkUnbuffered(b *testing.B) {
	l, err := New(newNull(b), "info", "text", "[nsqlookupd] ")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Info("client connected", "address", "127.0.0.1:1234", "session", 12)
	}
}

// newNull is a file that takes all, so that a Write costs a system call.
func newNull(b *testing.B) *os.File {
	b.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return f
}
