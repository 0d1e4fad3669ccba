package ctl

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestHumanDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0ms", 999 * time.Millisecond: "999ms", time.Second: "1s", 59*time.Second + 999*time.Millisecond: "59s",
		time.Minute: "1m00s", 192 * time.Second: "3m12s", time.Hour: "1h00m", 5*time.Hour + 7*time.Minute + 59*time.Second: "5h07m",
		24 * time.Hour: "1d00h", 1000*time.Hour + time.Minute: "41d16h",
	} {
		if got := humanDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 3 << 29: "1.5 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain ünïcode":     "plain ünïcode",
		"a\nb\tc":           "a b c",
		"\x1b[31mred\x07":   "?[31mred?",
		"\u0085\u202e\xff":  "??�",
		"a\r\nlookupctl: b": "a? lookupctl: b",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := clean(strings.Repeat("ü", 1<<20)); len(got) > maxLine+10 || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
		t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-10:])
	}
}

func TestTableLinesUp(t *testing.T) {
	rows := [][]cell{head("A", "LONGER", "C"), {{"ümlaut", good}, {"x\ny", bad}, {text: "z"}}}
	var with, without page
	with.color = true
	without.table(rows)
	with.table(rows)
	if got, want := without.String(), "A       LONGER  C\nümlaut  x y     z\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	want := "\x1b[1mA\x1b[0m       \x1b[1mLONGER\x1b[0m  \x1b[1mC\x1b[0m\n\x1b[32mümlaut\x1b[0m  \x1b[31mx y\x1b[0m     z\n"
	if got := with.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Only a terminal gets colours.
func TestColours(t *testing.T) {
	if newProgram(nil, nil, &bytes.Buffer{}, nil).color {
		t.Error("a buffer gets colours")
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if newProgram(nil, nil, file, nil).color {
		t.Error(os.DevNull + " gets colours")
	}
	for env, want := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false, "TERM=xterm": true} {
		if got := wantsColor(true, (&program{env: []string{env}}).getenv); got != want {
			t.Errorf("%s: %v", env, got)
		}
	}
	if wantsColor(false, func(string) string { return "" }) {
		t.Error("no terminal gets colours")
	}
}

func TestLastOfTheEnvironmentCounts(t *testing.T) {
	p := &program{env: []string{"A=1", "AB=3", "A=2"}}
	if got := p.getenv("A"); got != "2" {
		t.Error(got)
	}
}
