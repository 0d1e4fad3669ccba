package fsm

import (
	"bytes"
	"errors"
	"testing"
)

// Snapshots that are whole, fingerprint and all, but that no registry has written. Those that
// would make trouble later have to be refused.

// forge returns the snapshot of a state that was tampered with.
func forge(t *testing.T, tamper func(*State)) []byte {
	s := *sampleRegistry(t).State()
	tamper(&s)
	return snapshot(t, &s)
}

func (s *State) replaceSerial(serial uint64) {
	var h hasher
	s.fingerprint = s.fingerprint.minus(h.serial(s.serial)).plus(h.serial(serial))
	s.serial = serial
}

// editTopic gives the state an altered copy of a topic.
func (s *State) editTopic(name string, edit func(*topic)) {
	t, _ := s.topics.Get(name)
	t = t.clone(t.modified)
	edit(t)
	s.topics = s.topics.Copy()
	s.topics.Set(name, t)
}

func TestForgedSnapshots(t *testing.T) {
	var h hasher
	tests := map[string]func(*State){
		// An entry at that index would alter a value that is published.
		"topic modified after the snapshot's index": func(s *State) {
			s.editTopic("t", func(t *topic) { t.modified = s.index + 1 })
		},
		// The next session would have the serial of one that exists.
		"session's serial over the registry's": func(s *State) { s.replaceSerial(1) },
		// It could not be told from that of the next tombstone.
		"tombstone's id over the registry's": func(s *State) {
			s.editTopic("t", func(t *topic) {
				old := t.tombstones[0]
				t.tombstones[0].id = s.serial + 1
				s.fingerprint = s.fingerprint.minus(h.tombstone("t", old)).plus(h.tombstone("t", t.tombstones[0]))
			})
		},
		// 0 means none.
		"tombstone's id 0": func(s *State) {
			s.editTopic("t", func(t *topic) {
				old := t.tombstones[0]
				t.tombstones[0].id = 0
				s.fingerprint = s.fingerprint.minus(h.tombstone("t", old)).plus(h.tombstone("t", t.tombstones[0]))
			})
		},
		// Nobody would ever end it.
		"session of a replica that is not there": func(s *State) {
			s.fingerprint = s.fingerprint.minus(h.replica(s.replicas[0]))
			s.replicas = s.replicas[1:]
		},
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			if err := New().Restore(bytes.NewReader(forge(t, tamper))); !errors.Is(err, ErrCorrupt) {
				t.Errorf("restored with %v", err)
			}
		})
	}
}

// TestForgedLast: a journal that has come as far as numbers go does not make a panic.
func TestForgedLast(t *testing.T) {
	var h hasher
	for _, last := range []uint64{1<<63 - 1, 1 << 63, 1<<64 - 2, 1<<64 - 1} {
		r := New()
		err := r.Restore(bytes.NewReader(forge(t, func(s *State) {
			s.fingerprint = s.fingerprint.minus(h.replica(s.replicas[1]))
			s.replicas[1].last = last
			s.fingerprint = s.fingerprint.plus(h.replica(s.replicas[1]))
		})))
		if err != nil {
			continue
		}
		for i, first := range []uint64{0, 1, 2, 1 << 63, 1<<64 - 1} {
			mustApply(t, r, 100+uint64(i), journalEntry(Header{"b", 2, first}, CreateTopic("x"), CreateTopic("y")))
			restored(t, snapshot(t, r.State()))
		}
	}
}

// TestForgedTopicOfNothing: a topic of which nothing is left has no place in a snapshot.
func TestForgedTopicOfNothing(t *testing.T) {
	snap := forge(t, func(s *State) {
		s.topics = s.topics.Copy()
		s.topics.Set("nothing", &topic{name: "nothing", modified: 1})
	})
	if err := New().Restore(bytes.NewReader(snap)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("restored with %v", err)
	}
}
