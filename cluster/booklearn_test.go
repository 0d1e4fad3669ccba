package cluster

import (
	"slices"
	"testing"
	"time"
)

// What greetings tell of a life is not overruled by gossip of the same or an older one.
func TestBookLearns(t *testing.T) {
	b := newBook()
	first := lineage{}.next()
	said := hello{Name: "n", Version: "2", Level: 1, Incarnation: 5, lineage: first, Address: "h:1"}
	if changed, _ := b.learn("a", said); !changed {
		t.Error("what is new is not kept")
	}
	if changed, _ := b.learn("a", said); changed {
		t.Error("what is new is to be kept before anything is said, and only that")
	}
	level := func(when string, level uint64, version string, incarnation uint64) {
		t.Helper()
		if known := b.get("a"); known.Level != level || known.Version != version || known.Incarnation != incarnation || known.Life != first.life() {
			t.Errorf("%s: %+v", when, known)
		}
	}
	level("by its greeting", 1, "2", 5)
	gossiped := gossipedAs("a", 5, 1)
	gossiped.Level, gossiped.Version = 7, "7"
	b.gossiped(gossiped)
	level("gossip of that incarnation", 1, "2", 5)
	gossiped.Incarnation = 6
	b.gossiped(gossiped)
	level("gossip of a later one", 7, "7", 6)
	b.learn("a", said)
	level("a greeting that was under way", 1, "2", 6)
	b.plainly("a")
	level("a plain greeting", 0, "", 6)
}

func TestBookHandsOutCopies(t *testing.T) {
	b := newBook()
	b.reached("a", "h:1")
	b.get("a").Addresses[0] = "x"
	b.all()[0].Addresses[0] = "x"
	if got := b.addresses("a"); !slices.Equal(got, []string{"h:1"}) {
		t.Errorf("its addresses are %v", got)
	}
}

// A sign of life counts for ten seconds, and makes no record of a stranger.
func TestBookKnowsWhoWasHeardLately(t *testing.T) {
	b := newBook()
	b.acked("a", 7)
	b.acked("a", 5)
	if known := b.get("a"); known.heardLately(time.Now()) || known.Acked != 7 {
		t.Errorf("before it was heard: %+v", known)
	}
	b.heard("a")
	b.heard("stranger")
	known := b.get("a")
	if !known.heardLately(known.at) || known.heardLately(known.at.Add(heardLately)) || len(b.all()) != 1 {
		t.Errorf("%+v of %d records", known, len(b.all()))
	}
}

// The newest refused lives are kept.
func TestBookKeepsRefusedLives(t *testing.T) {
	b := newBook()
	for n := range uint64(2 * maxRefused) {
		b.refuse("a", life{n + 1, 9})
		b.refuse("a", life{n + 1, 9})
	}
	kept := b.get("a").Refused
	if len(kept) != maxRefused || kept[0].Start != maxRefused+1 || kept[maxRefused-1].Start != 2*maxRefused {
		t.Errorf("kept are %v", kept)
	}
}
