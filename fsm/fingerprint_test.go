package fsm

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestElementsDiffer: whatever differs in an element makes another hash, and no element can be
// taken for another of different names or kind.
func TestElementsDiffer(t *testing.T) {
	var h hasher
	info := ProducerInfo{"r", "h", "b", 1, 2, "v", "z", "g"}
	base := session{identity: &identity{key: SessionKey{"a", 1, 2}, serial: 3, info: info}}
	sessionWith := func(alter func(*session)) Fingerprint {
		s, o := base, *base.identity
		s.identity = &o
		alter(&s)
		return h.session(&s)
	}
	seen := map[Fingerprint]string{}
	for name, f := range map[string]Fingerprint{
		"session":     sessionWith(func(*session) {}),
		"serial":      sessionWith(func(s *session) { s.serial = 4 }),
		"replica":     sessionWith(func(s *session) { s.key.Replica = "b" }),
		"incarnation": sessionWith(func(s *session) { s.key.Incarnation = 2 }),
		"number":      sessionWith(func(s *session) { s.key.Number = 1 }),
		"info":        sessionWith(func(s *session) { s.info.Version = "w" }),
		"region":      sessionWith(func(s *session) { s.info.TopologyRegion = "" }),
		"active":      sessionWith(func(s *session) { s.active = true }),
		"settled":     sessionWith(func(s *session) { s.settled = true }),
		"orphan":      sessionWith(func(s *session) { s.orphan = true }),
		"topic":       h.topic("ab"),
		"other topic": h.topic("a"),
		"channel":     h.channel("ab", "c"), "channel of another cut": h.channel("a", "bc"), "empty channel": h.channel("abc", ""),
		"topic registration": h.topicRegistration(1, "ab"), "of another session": h.topicRegistration(2, "ab"),
		"channel registration":   h.channelRegistration(1, "ab", "c"),
		"of another channel":     h.channelRegistration(1, "ab", "d"),
		"of another cut":         h.channelRegistration(1, "a", "bc"),
		"tombstone":              h.tombstone("ab", tombstone{ProducerKey{"c", 1}, 2}),
		"tombstone's id":         h.tombstone("ab", tombstone{ProducerKey{"c", 1}, 3}),
		"tombstone's port":       h.tombstone("ab", tombstone{ProducerKey{"c", 2}, 2}),
		"tombstone's cut":        h.tombstone("a", tombstone{ProducerKey{"bc", 1}, 2}),
		"replica's":              h.replica(replica{"a", "b", 1, 2, false}),
		"replica's name":         h.replica(replica{"a", "c", 1, 2, false}),
		"replica's cut":          h.replica(replica{"ab", "", 1, 2, false}),
		"replica's incarnation":  h.replica(replica{"a", "b", 2, 2, false}),
		"replica's last":         h.replica(replica{"a", "b", 1, 1, false}),
		"replica's lost":         h.replica(replica{"a", "b", 1, 2, true}),
		"registry's last serial": h.serial(1), "registry's next serial": h.serial(2),
	} {
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[f] = name
	}
}

// TestFingerprintArithmetic: what is added can be taken away, in whatever order.
func TestFingerprintArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Fingerprint {
			word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1<<64 - 1}))
			return Fingerprint{word.Draw(t, name), word.Draw(t, name)}
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		if a.plus(b).plus(c) != c.plus(b.plus(a)) {
			t.Fatal("the order matters")
		}
		if a.plus(b).plus(c).minus(b) != a.plus(c) || a.minus(b).plus(b) != a {
			t.Fatal("minus does not undo plus")
		}
	})
	if (Fingerprint{1, 1<<64 - 1}).plus(Fingerprint{0, 1}) != (Fingerprint{2, 0}) {
		t.Fatal("no carry")
	}
	if one := (Fingerprint{0, 1}); one.plus(one) == (Fingerprint{}) {
		t.Fatal("an element twice is none")
	}
}

func TestFingerprintText(t *testing.T) {
	f := Fingerprint{hi: 1, lo: 0xabcdef}
	if s := f.String(); s != "00000000000000010000000000abcdef" {
		t.Fatal(s)
	}
	if got, err := ParseFingerprint(f.String()); err != nil || got != f {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "00", f.String() + "00", strings.Repeat("g", 32), f.String()[1:]} {
		if _, err := ParseFingerprint(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}
