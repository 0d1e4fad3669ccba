package cluster

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// live makes a replica live through all that Raft writes for, once, and returns what a crash after each
// write would leave: bootstrap (of another), appending, voting, truncation, its own snapshots with and
// without compaction, installed snapshots with a hole, with reaping, and with a tail of a deposed leader.
func live(t *testing.T, trailing uint64, released bool) []image {
	final, thirteen, sixtyFour := crashBranches(t)
	dir := crashPath(t)
	c := &camera{t: t, dir: dir}
	n := startCrashNode(t, dir, trailing, c, released)
	defer n.close()
	taken := func(answer raft.AppendEntriesResponse) {
		t.Helper()
		if !answer.Success {
			t.Fatal("entries were refused")
		}
	}
	snapshot := func() {
		t.Helper()
		if err := n.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	taken(n.append(final, 2, 1, 9, 0))
	taken(n.append(final, 2, 10, 12, 12))
	vote := raft.RequestVoteRequest{RPCHeader: headerOf("third"), Term: 3, LastLogIndex: 12, LastLogTerm: 2, LeadershipTransfer: true}
	var granted raft.RequestVoteResponse
	if err := n.s.RequestVote(n.id, n.address, &vote, &granted); err != nil || !granted.Granted {
		t.Fatalf("no vote: %+v, error %v", granted, err)
	}
	n.camera.tell(func(now *image) { now.voted = 3 })
	taken(n.append(thirteen, 3, 13, 16, 12))
	taken(n.append(final, 4, 13, 16, 16)) // truncates
	snapshot()
	n.install(final, 4, 40)
	taken(n.append(final, 4, 41, 44, 44))
	snapshot()
	n.install(final, 5, 60) // a third snapshot: the first is reaped
	taken(n.append(final, 5, 61, 63, 63))
	taken(n.append(sixtyFour, 5, 64, 72, 63))
	n.install(final, 6, 66) // the tail contradicts it
	if answer := n.append(final, 6, 67, 70, 70); answer.Success == released {
		t.Fatalf("after the tail of a deposed leader: %+v", answer)
	} else if released {
		return c.images
	}
	snapshot()
	taken(n.append(final, 6, 71, 72, 72))
	return c.images
}

// liveAsNewcomer is live of a replica whose first entries come as a snapshot.
func liveAsNewcomer(t *testing.T) []image {
	final, _, _ := crashBranches(t)
	dir := crashPath(t)
	c := &camera{t: t, dir: dir}
	n := startCrashNode(t, dir, trailingLogs, c, false)
	defer n.close()
	n.install(final, 4, 40)
	if answer := n.append(final, 4, 41, 44, 44); !answer.Success {
		t.Error("entries were refused")
	}
	return c.images
}

func TestStartAfterACrashOfANewcomer(t *testing.T) {
	for _, i := range liveAsNewcomer(t) {
		i.start(t, new(int))
	}
}

// A replica starts from whatever a crash leaves, has what it has acknowledged, is recovered with and
// without changing it, and catches up, by entries and by a snapshot.
func TestStartAfterACrashAtEachWrite(t *testing.T) {
	for _, trailing := range []uint64{3, trailingLogs} {
		for _, released := range []bool{false, true} {
			if released && trailing < trailingLogs {
				continue // the release keeps so many
			}
			t.Run(fmt.Sprintf("trailing %d, as released %v", trailing, released), func(t *testing.T) {
				t.Parallel()
				holes := 0
				for _, i := range live(t, trailing, released) {
					i.start(t, &holes)
					if t.Failed() {
						return
					}
				}
				if released && trailing == trailingLogs && holes == 0 {
					t.Error("no image had a hole")
				}
				if !released && holes > 0 {
					t.Errorf("%d images had a hole", holes)
				}
			})
		}
	}
}

func (i *image) start(t *testing.T, holes *int) {
	final, thirteen, sixtyFour := crashBranches(t)
	defer func() {
		if t.Failed() {
			t.Logf("it is the image %s", i.what)
		}
	}()
	before := i.found(t)
	if before.gap() > 0 {
		*holes++
	}
	i.keeps(t, before)
	if !before.empty() {
		i.recover(t, final, thirteen, sixtyFour)
	}
	for _, begins := range []uint64{1, 78, 67} { // of the leader's log
		dir := copyTree(t, i.dir)
		n := startCrashNode(t, dir, 3, nil, false)
		if err := n.lead(final, 9, begins); err != nil {
			t.Errorf("led by one whose log begins at %d: %v", begins, err)
		}
		if got, want := n.registry.State().Fingerprint(), final.states[80].Fingerprint(); got != want {
			t.Errorf("led by one whose log begins at %d: the registry differs", begins)
		}
		n.close()
		after := image{dir: dir, acked: entryMark{80, 6}}
		state := after.found(t)
		if after.keeps(t, state); state.gap() != 0 || state.obsolete() != 0 {
			t.Errorf("led by one whose log begins at %d it has %+v", begins, state)
		}
	}
}

// recover makes a cluster of its own of the image, whose registry must be one that there was.
func (i *image) recover(t *testing.T, branches ...*branch) {
	dir := copyTree(t, i.dir)
	var said *Survivor
	for _, dry := range []bool{true, false, true} { // the last tells what the one before has made
		s, err := Recover(dir, dry, discard)
		if err != nil {
			t.Fatalf("recover, dry %v: %v", dry, err)
		}
		at, known := entryMark{s.LastIndex, s.LastTerm}, false
		for _, b := range branches {
			known = known || b.has(at) && s.Registry.Fingerprint == b.states[at.index].Fingerprint().String()
		}
		if !known {
			t.Errorf("recover, dry %v: at %+v the registry is none that ever was", dry, at)
		}
		if said != nil && (s.LastIndex != said.LastIndex || s.LastTerm != said.LastTerm) {
			t.Errorf("recover, dry %v: it ends at %+v, said %+v", dry, at, said)
		}
		said = s
	}
	if len(said.Servers) != 1 || said.Servers[0].ID != said.ID {
		t.Errorf("after recovering its cluster is %+v", said.Servers)
	}
	if found := (&image{dir: dir}).found(t); len(found.spans) > 0 || found.snapshot.index != said.LastIndex {
		t.Errorf("recovering has left %+v", found)
	}
}

// found reads the image as a start does.
func (i *image) found(t *testing.T) logState {
	t.Helper()
	s, closeStores := storesOf(t, i.dir)
	defer closeStores()
	if term, err := s.stable.GetUint64(voteTermKey); i.voted > 0 && (err != nil || term < i.voted) {
		t.Errorf("its last vote is of term %d, error %v; it has voted in %d", term, err, i.voted)
	}
	return s.found
}

// keeps checks that what was acknowledged is there, after what is obsolete is removed.
func (i *image) keeps(t *testing.T, s logState) {
	t.Helper()
	for _, p := range s.spans {
		if p.last > s.obsolete() && p.first <= i.acked.index && i.acked.index <= p.last && p.term == i.acked.term {
			return
		}
	}
	if s.snapshot.index < i.acked.index {
		t.Errorf("%+v was acknowledged, it has %+v", i.acked, s)
	}
}
