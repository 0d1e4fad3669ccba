package bench

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 9}, 3},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want || !slices.Equal(before, c.values) {
			t.Errorf("median of %v: %v, want %v, and the values as they were: %v", before, got, c.want, c.values)
		}
	}
}

func TestPercentile(t *testing.T) {
	var values []time.Duration
	for i := range 200 {
		values = append(values, time.Duration(200-i))
	}
	for p, want := range map[int]time.Duration{0: 1, 50: 101, 99: 199, 100: 200} {
		if got := percentile(values, p); got != want {
			t.Errorf("percentile %d: %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("of none: %d", got)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{perSecond, 34812.4, "34,812/s"},
		{perSecond, 0.01795, "0.018/s"},
		{inSeconds, 45.2e-6, "45.2 µs"},
		{inSeconds, 0.0204, "20.4 ms"},
		{inSeconds, 55.71, "55.7 s"},
		{inBytes, 24, "24 B"},
		{inBytes, 6554, "6.4 KiB"},
		{inBytes, 109 * mebibyte, "109 MiB"},
		{bytesPerSecond, 1234567 * mebibyte, "1,234,567 MiB/s"},
		{inPercent, 1.5, "1.5 %"},
		{inNumbers, 0, "0"},
		{inNumbers, -2, "-2"},
		{inNumbers, 1e-9, "0.00000"},
	} {
		if got := c.unit.format(c.value); got != c.want {
			t.Errorf("%v: %q, want %q", c.value, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{preface: []string{"a machine"}, rows: []row{
		{name: "fast", unit: perSecond, theirs: figure{who: nsqlookupd, values: []float64{300, 100, 200}},
			ours: figure{who: raftlookupd, values: []float64{250}, note: "warm"}, aim: "at least 1x", limits: "a|b"},
		{name: "floor", unit: inSeconds, theirs: figure{who: bareRaft, values: []float64{1}}, ours: figure{who: raftlookupd}},
		{name: "none", theirs: figure{who: nsqlookupd, note: "starts empty"}, ours: figure{who: raftlookupd, values: []float64{0}}},
	}}
	var text strings.Builder
	if err := tab.write(&text); err != nil {
		t.Fatal(err)
	}
	want := []string{"a machine", "",
		"| row | nsqlookupd, median (spread) | raftlookupd, median (spread) | ratio | aim | what limits |",
		"| --- | --- | --- | --- | --- | --- |",
		`| fast | 200/s (100/s to 300/s) | 250/s; warm | 1.25x | at least 1x | a\|b |`,
		"| floor | bare Raft: 1 s | – | – |  |  |",
		"| none | starts empty | 0/s | – |  |  |", ""}
	if got := strings.Split(text.String(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCosts(t *testing.T) {
	used := cost{wall: 2 * time.Second, load: time.Second, servers: 3 * time.Second}
	got := costs(figure{who: "a", cost: used.plus(used)}, figure{who: "b"}, figure{who: "c", cost: used.inside()})
	if _, got, _ = strings.Cut(got, ": "); got != "a 150 + load 50, c 50 + load 150" {
		t.Errorf("got %q", got)
	}
}

func TestParseCPU(t *testing.T) {
	const stat = "17 (a ) b) S 1 17 17 0 -1 4194560 100 0 0 0 250 125 7 9 20 0 9 0 100 1000 500"
	if got, err := parseCPU(stat); err != nil || got != 3750*time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "17 (a", "17 (a) S 1", "17 (a) S 1 17 17 0 -1 4194560 100 0 0 0 x 125 7"} {
		if got, err := parseCPU(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident("Name:\ta\nVmHWM:\t 30 kB\nVmRSS:\t    20 kB\nRssAnon:\t 15 kB\nRssFile:\t  5 kB\n")
	if want := (resident{all: 20 * kibibyte, file: 5 * kibibyte}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "VmRSS:\tmuch kB\n"} {
		if got, err := parseResident(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\nContent-Type: x\r\n"
	for _, c := range []struct {
		name, text string
		code       int
		size       int64
		err        error
	}{
		{"length", header + "Content-Length: 5\r\n\r\nhello", 200, 5, nil},
		{"chunks", header + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n", 200, 15, nil},
		{"refused", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", 503, 2, nil},
		{"no length", header + "\r\nhello", 200, 0, errHTTP},
		{"no HTTP", "hello, who are you?\r\n", 0, 0, errHTTP},
		{"cut", header + "Content-Length: 5\r\n\r\nhel", 200, 3, io.EOF},
	} {
		r := bufio.NewReader(strings.NewReader(c.text + "HTTP"))
		if c.err != nil {
			r = bufio.NewReader(strings.NewReader(c.text))
		}
		code, size, err := readAnswer(r)
		if code != c.code || size != c.size || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %d bytes, %v", c.name, code, size, err)
		}
		if rest, _ := io.ReadAll(r); c.err == nil && string(rest) != "HTTP" {
			t.Errorf("%s: %q is left", c.name, rest)
		}
	}
}

func TestGaps(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	commits := []time.Time{at(0), at(7), at(100), at(103), at(120), at(124), at(500)}
	got := gaps(commits, span{at(150), at(160)})
	// The gap of 93 ms ends before the snapshot, the one of 376 ms spans it.
	if want := (pauses{before: 93 * time.Millisecond, during: 376 * time.Millisecond, writing: 10 * time.Millisecond}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
