package tcpproto

import (
	"slices"
	"strings"
	"testing"
)

type exchange struct {
	name    string
	say     string   // after the magic, and after IDENTIFY where that is a precondition
	answers []string // likewise
	calls   []string // of the session, without the last CLOSE
}

var (
	name64 = strings.Repeat("n", 64)
	name65 = strings.Repeat("n", 65)
)

func beforeIdentify() []exchange {
	return []exchange{
		{name: "nothing"},
		{name: "ping", say: "PING\n", answers: []string{"OK"}},
		{name: "pings", say: "PING\nPING\r\n  PING  \nPING with params\n", answers: []string{"OK", "OK", "OK", "OK"}},
		{name: "unfinished ping", say: "PING"},
		{name: "empty line", say: "\n", answers: []string{"E_INVALID invalid command "}},
		{name: "blank line", say: " \t\r\n", answers: []string{"E_INVALID invalid command "}},
		{name: "unicode blank line", say: "\u0085\u00a0\u2003\n", answers: []string{"E_INVALID invalid command "}},
		{name: "unknown", say: "NOP\nPING\n", answers: []string{"E_INVALID invalid command NOP"}},
		{name: "lower case", say: "ping\n", answers: []string{"E_INVALID invalid command ping"}},
		{name: "tab", say: "REGISTER\tt\n", answers: []string{"E_INVALID invalid command REGISTER\tt"}},
		{name: "nul", say: "PING\x00\n", answers: []string{"E_INVALID invalid command PING\x00"}},
		{name: "invalid utf-8", say: "\xff\xfe x\n", answers: []string{"E_INVALID invalid command \xff\xfe"}},
		{name: "cr inside", say: "PING\rPING\n", answers: []string{"E_INVALID invalid command PING\rPING"}},
		{name: "register", say: "REGISTER t c\n", answers: []string{"E_INVALID client must IDENTIFY"}},
		{name: "register alone", say: "REGISTER\n", answers: []string{"E_INVALID client must IDENTIFY"}},
		{name: "register badly", say: "REGISTER $\n", answers: []string{"E_INVALID client must IDENTIFY"}},
		{name: "unregister", say: "UNREGISTER t c\n", answers: []string{"E_INVALID client must IDENTIFY"}},
		{name: "second magic", say: "  V1PING\n", answers: []string{"E_INVALID invalid command V1PING"}},
	}
}

func goodChanges() []exchange {
	ok := []string{"OK"}
	return []exchange{
		{name: "ping", say: "PING\n", answers: ok, calls: []string{"PING"}},
		{name: "topic", say: "REGISTER t\n", answers: ok, calls: []string{"REGISTER t|"}},
		{name: "topic and space", say: "REGISTER t \n", answers: ok, calls: []string{"REGISTER t|"}},
		{name: "channel", say: "REGISTER t c\r\n", answers: ok, calls: []string{"REGISTER t|c"}},
		{name: "empty channel", say: "REGISTER t  c\n", answers: ok, calls: []string{"REGISTER t|"}},
		{name: "extra params", say: "REGISTER t c $ $\n", answers: ok, calls: []string{"REGISTER t|c"}},
		{name: "ephemeral", say: "REGISTER t#ephemeral c#ephemeral\n", answers: ok,
			calls: []string{"REGISTER t#ephemeral|c#ephemeral"}},
		{name: "longest names", say: "UNREGISTER " + name64 + " " + name64 + "\n", answers: ok,
			calls: []string{"UNREGISTER " + name64 + "|" + name64}},
		{name: "unregister topic", say: "UNREGISTER t\n", answers: ok, calls: []string{"UNREGISTER t|"}},
		{name: "unregister channel", say: "UNREGISTER t c x\n", answers: ok, calls: []string{"UNREGISTER t|c"}},
		{name: "many", say: "REGISTER a\nPING\nUNREGISTER a\nREGISTER b c\n", answers: []string{"OK", "OK", "OK", "OK"},
			calls: []string{"REGISTER a|", "PING", "UNREGISTER a|", "REGISTER b|c"}},
		{name: "unfinished line", say: "REGISTER a\nREGISTER b", answers: ok, calls: []string{"REGISTER a|"}},
	}
}

// badChanges are all fatal: the PING after them is not answered.
func badChanges() []exchange {
	bad := func(name, say, answer string) exchange {
		return exchange{name: name, say: say + "\nPING\n", answers: []string{answer}}
	}
	return []exchange{
		bad("again", "IDENTIFY", "E_INVALID cannot IDENTIFY again"),
		bad("no params", "REGISTER", "E_INVALID REGISTER insufficient number of params"),
		bad("no params but space", "REGISTER ", "E_INVALID REGISTER insufficient number of params"),
		bad("unregister no params", "UNREGISTER", "E_INVALID UNREGISTER insufficient number of params"),
		bad("double space", "REGISTER  t", "E_BAD_TOPIC REGISTER topic name '' is not valid"),
		bad("star", "REGISTER *", "E_BAD_TOPIC REGISTER topic name '*' is not valid"),
		bad("long topic", "REGISTER "+name65, "E_BAD_TOPIC REGISTER topic name '"+name65+"' is not valid"),
		bad("topic first", "UNREGISTER $ $", "E_BAD_TOPIC UNREGISTER topic name '$' is not valid"),
		bad("bad channel", "REGISTER t $", "E_BAD_CHANNEL REGISTER channel name '$' is not valid"),
		bad("unregister bad channel", "UNREGISTER t a#b", "E_BAD_CHANNEL UNREGISTER channel name 'a#b' is not valid"),
		bad("long channel", "REGISTER t "+name65, "E_BAD_CHANNEL REGISTER channel name '"+name65+"' is not valid"),
		bad("only ephemeral", "REGISTER #ephemeral", "E_BAD_TOPIC REGISTER topic name '#ephemeral' is not valid"),
		bad("tab in topic", "REGISTER t\tc", "E_BAD_TOPIC REGISTER topic name 't\tc' is not valid"),
		bad("cr in topic", "REGISTER t\r c", "E_BAD_TOPIC REGISTER topic name 't\r' is not valid"),
		bad("nul in channel", "REGISTER t c\x00", "E_BAD_CHANNEL REGISTER channel name 'c\x00' is not valid"),
		bad("invalid utf-8", "REGISTER \xff", "E_BAD_TOPIC REGISTER topic name '\xff' is not valid"),
		bad("unknown", "NOP", "E_INVALID invalid command NOP"),
	}
}

func TestBeforeIdentify(t *testing.T) {
	for _, tc := range beforeIdentify() {
		t.Run(tc.name, func(t *testing.T) {
			r := &fakeReplica{}
			_, addr := start(t, Config{Open: r.open})
			if got := talk(t, addr, magicV1+tc.say); !slices.Equal(got, tc.answers) {
				t.Errorf("answers %q, want %q", got, tc.answers)
			}
			if r.count() != 0 {
				t.Error("a session was opened")
			}
		})
	}
}

func TestAfterIdentify(t *testing.T) {
	for _, tc := range append(goodChanges(), badChanges()...) {
		t.Run(tc.name, func(t *testing.T) {
			r := &fakeReplica{}
			_, addr := start(t, Config{Open: r.open})
			got := talk(t, addr, magicV1+identify(identifyBody)+tc.say)
			if want := append([]string{testGreetingJSON}, tc.answers...); !slices.Equal(got, want) {
				t.Errorf("answers %q, want %q", got, want)
			}
			s := r.only(t)
			wait(t, s.closed, "session closes")
			if want := append(tc.calls[:len(tc.calls):len(tc.calls)], "CLOSE"); !slices.Equal(s.did(), want) {
				t.Errorf("calls %q, want %q", s.did(), want)
			}
		})
	}
}

func TestOutcomesOfChanges(t *testing.T) {
	const say = "REGISTER t c\nUNREGISTER t c\nPING\n"
	for _, tc := range []struct {
		name    string
		pending bool
		err     error
		answers []string
		calls   []string
	}{
		{name: "pending is not fatal", pending: true,
			answers: []string{"E_PENDING REGISTER is queued but not yet committed", "E_PENDING UNREGISTER is queued but not yet committed", "OK"},
			calls:   []string{"REGISTER t|c", "UNREGISTER t|c", "PING", "CLOSE"}},
		{name: "not taken is fatal", err: errFake,
			answers: []string{"E_UNAVAILABLE REGISTER was not taken"},
			calls:   []string{"REGISTER t|c", "DETACH"}},
		{name: "an error outweighs pending", pending: true, err: errFake,
			answers: []string{"E_UNAVAILABLE REGISTER was not taken"},
			calls:   []string{"REGISTER t|c", "DETACH"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &fakeReplica{change: func(string) (bool, error) { return tc.pending, tc.err }}
			_, addr := start(t, Config{Open: r.open})
			got := talk(t, addr, magicV1+identify(identifyBody)+say)
			if want := append([]string{testGreetingJSON}, tc.answers...); !slices.Equal(got, want) {
				t.Errorf("answers %q, want %q", got, want)
			}
			s := r.only(t)
			wait(t, s.closed, "session closes")
			if !slices.Equal(s.did(), tc.calls) {
				t.Errorf("calls %q, want %q", s.did(), tc.calls)
			}
		})
	}
}

// One command per packet of one byte gives the same answers.
func TestBytewise(t *testing.T) {
	r := &fakeReplica{}
	_, addr := start(t, Config{Open: r.open})
	nc := dial(t, addr)
	for _, b := range []byte(magicV1 + "PING\n" + identify(identifyBody) + "REGISTER t c\n") {
		send(t, nc, string([]byte{b}))
	}
	expect(t, nc, "OK")
	expect(t, nc, testGreetingJSON)
	expect(t, nc, "OK")
	if got, want := r.only(t).did(), []string{"REGISTER t|c"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestMagic(t *testing.T) {
	for _, tc := range []struct {
		name, say string
		answers   []string
	}{
		{"nothing", "", nil},
		{"half", "  ", nil},
		{"only", "  V1", nil},
		{"nsqd's own protocol", "  V2PING\n", []string{"E_BAD_PROTOCOL"}},
		{"http", "GET / HTTP/1.1\r\n\r\n", []string{"E_BAD_PROTOCOL"}},
		{"lower case", "  v1", []string{"E_BAD_PROTOCOL"}},
		{"nul", "\x00\x00\x00\x00", []string{"E_BAD_PROTOCOL"}},
		{"much after it", "    " + strings.Repeat("x", 200_000), []string{"E_BAD_PROTOCOL"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, addr := start(t, Config{Open: (&fakeReplica{}).open})
			if got := talk(t, addr, tc.say); !slices.Equal(got, tc.answers) {
				t.Errorf("answers %q, want %q", got, tc.answers)
			}
		})
	}
}

func TestLineLimit(t *testing.T) {
	// A line of n bytes with its newline that REGISTER accepts, since extra params are ignored.
	line := func(n int) string {
		const head = "REGISTER t c "
		return head + strings.Repeat("x", n-len(head)-1) + "\n"
	}
	const tooLong = "E_INVALID line is longer than 4096 bytes"
	for _, tc := range []struct {
		name, say string
		answers   []string
	}{
		{"512", line(512), []string{"OK"}},
		{"513", line(513), []string{"OK"}},
		{"4095", line(4095), []string{"OK"}},
		{"4096", line(4096) + "PING\n", []string{"OK", "OK"}},
		{"4097", line(4097) + "PING\n", []string{tooLong}},
		{"4095 without end", line(4096)[:4095], nil},
		{"4096 without end", line(4097)[:4096], []string{tooLong}},
		{"1 MB without end", strings.Repeat("x", 1<<20), []string{tooLong}},
		{"after a short one", "PING\n" + line(4096) + "PING\n", []string{"OK", "OK", "OK"}},
		{"unknown command", strings.Repeat("x", 4095) + "\n",
			[]string{"E_INVALID invalid command " + strings.Repeat("x", 4095)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, addr := start(t, Config{Open: (&fakeReplica{}).open})
			got := talk(t, addr, magicV1+identify(identifyBody)+tc.say)
			if want := append([]string{testGreetingJSON}, tc.answers...); !slices.Equal(got, want) {
				t.Errorf("answers %.200q, want %.200q", got, want)
			}
		})
	}
}
