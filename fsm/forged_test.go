package fsm

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// Snapshots that are whole, fingerprint and all, but that no registry has written. Those that
// would make trouble later have to be refused.

// forge returns the snapshot of a state that was tampered with.
func forge(t *testing.T, tamper func(*State)) []byte {
	return forged(t, sampleRegistry(t), tamper)
}

func forged(t *testing.T, r *Registry, tamper func(*State)) []byte {
	s := *r.State()
	tamper(&s)
	return snapshot(t, &s)
}

func (s *State) replaceSerial(serial uint64) {
	var h hasher
	s.fingerprint = s.fingerprint.minus(h.serial(s.serial)).plus(h.serial(serial))
	s.serial = serial
}

// editSession gives the state an altered copy of a session, the newest for which pick is true.
func (s *State) editSession(pick func(*session) bool, edit func(*session)) {
	var h hasher
	s.producers = s.producers.Copy()
	all := s.sessionsBySerial()
	slices.Reverse(all)
	old := all[slices.IndexFunc(all, pick)]
	next := *old
	edit(&next)
	s.fingerprint = s.fingerprint.minus(h.session(old)).plus(h.session(&next))
	s.producers.Set(s.producer(next.producer).with(&next))
}

func (s *State) replaceLevel(level uint64) {
	var h hasher
	s.fingerprint = s.fingerprint.minus(h.level(s.level)).plus(h.level(level))
	s.level = level
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

// TestForgedLevels: what no registry of level 1 may hold.
func TestForgedLevels(t *testing.T) {
	detached := func(o *session) bool { return o.detached }
	lost := func(o *session) bool { return o.orphan && !o.detached && o.since > 0 }
	live := func(o *session) bool { return !o.orphan }
	tests := map[string]struct {
		tamper func(*State)
		want   error // nil when it may be
	}{
		"as it is": {func(*State) {}, nil},
		// An orphan that was one before the level rose.
		"lost at level 0": {func(s *State) { s.editSession(lost, func(o *session) { o.since = 0 }) }, nil},
		// An entry that is to come would have made it an orphan.
		"orphan since an index to come": {func(s *State) {
			s.editSession(lost, func(o *session) { o.since = s.index + 1 })
		}, ErrCorrupt},
		"orphan since the index of the snapshot": {func(s *State) {
			s.editSession(lost, func(o *session) { o.since = s.index })
		}, nil},
		"live since an index": {func(s *State) { s.editSession(live, func(o *session) { o.since = 1 }) }, ErrCorrupt},
		// It is hashed as if it were not detached.
		"detached at level 0":    {func(s *State) { s.editSession(detached, func(o *session) { o.since = 0 }) }, ErrCorrupt},
		"detached and live":      {func(s *State) { s.editSession(detached, func(o *session) { o.orphan = false }) }, ErrCorrupt},
		"level 0, and orphans":   {func(s *State) { s.replaceLevel(0) }, ErrCorrupt},
		"a level after the last": {func(s *State) { s.replaceLevel(MaxLevel + 1) }, ErrTooNew},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := New().Restore(bytes.NewReader(forged(t, sampleLeveled(t), test.tamper)))
			if !errors.Is(err, test.want) {
				t.Errorf("restored with %v, want %v", err, test.want)
			}
		})
	}
	// Version 2 says that there is a level.
	parts := frames(t, snapshot(t, New().State()))
	parts[0] = append([]byte(snapshotMagic), leveledVersion)
	parts[1] = append(slices.Clone(parts[1]), 0)
	if err := New().Restore(bytes.NewReader(join(parts))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("level 0 in version 2: restored with %v", err)
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
