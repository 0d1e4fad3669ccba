package fsm

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// nsqlookupdName is nsqlookupd's rule (nsqio/nsq, internal/protocol/names.go), but for the length.
var nsqlookupdName = regexp.MustCompile(`^[.a-zA-Z0-9_-]+(#ephemeral)?$`)

func TestValidName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[.a-zA-Z0-9_-]{0,70}(#ephemeral)?`),
			rapid.StringMatching(`[.a-z/:@[{^ \n]{0,3}(#ephemeral){0,2}[a\n]?`),
		).Draw(t, "name")
		want := len(name) >= 1 && len(name) <= 64 && nsqlookupdName.MatchString(name)
		if got := ValidName(name); got != want {
			t.Fatalf("%q: %v, want %v", name, got, want)
		}
	})
	for name, want := range map[string]bool{
		"":                                   false,
		AllTopics:                            false,
		"#ephemeral":                         false,
		"a#ephemeral":                        true,
		"a#ephemeral#ephemeral":              false,
		"a#EPHEMERAL":                        false,
		strings.Repeat("a", MaxNameLength):   true,
		strings.Repeat("a", MaxNameLength+1): false,
		strings.Repeat("a", MaxNameLength-len(ephemeralSuffix)) + "#ephemeral": true,
		strings.Repeat("a", MaxNameLength-len("#ephemeral")+1) + "#ephemeral":  false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// TestNamesThatAreNotValid get in when a proposer does not check: they are quoted as JSON.
func TestNamesThatAreNotValid(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.send(CreateChannel(`"`, "<\xff"), CreateTopic(""))
	wantBody(t, l.r.State().Topics(), `{"topics":["","\""]}`)
	wantBody(t, l.r.State().Channels(`"`), `{"channels":["\u003c\ufffd"]}`)
	restored(t, snapshot(t, l.r.State()))
}
