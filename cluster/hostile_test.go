package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// What does not make sense to the leader never reaches the log, whoever sends it: there it would
// end every replica, for ever.
func TestForwardedNonsenseIsRefused(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	settle(t, r)
	me := peer{id: "stranger", cluster: r.whoami().cluster}
	good := fsm.Header{Replica: me.id, Incarnation: 1, First: 1}
	open := fsm.AppendChange(nil, fsm.OpenReplica("s"))
	newer := good.AppendEntry(nil, 1, []byte{200})
	entries := map[string][]byte{
		"empty":           {},
		"garbage":         []byte(strings.Repeat("x", 100)),
		"unknown kind":    newer,
		"decision":        fsm.EncodeDecisions(fsm.ExpireReplica(r.ID(), 1)),
		"another's batch": fsm.Header{Replica: r.ID(), Incarnation: 1, First: 1}.AppendEntry(nil, 1, open),
	}
	stranger := newPort(noListener{}, identity0(me), r.log)
	defer stranger.drop()
	stranger.book.reached(r.ID(), r.port.listener.Addr().String())
	levelled(t, r)
	before := r.raft.LastIndex()
	f, err := stranger.dialLeader(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	for name, entry := range entries {
		if err := f.propose(entry)(t.Context()); !errors.Is(err, errRefused) {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
	if got := r.raft.LastIndex(); got != before {
		t.Errorf("the log has %d entries more", got-before)
	}
	if err := f.propose(good.AppendEntry(nil, 1, open))(t.Context()); err != nil {
		t.Errorf("a sound batch: %v", err)
	}
	f.close()
	stranger.wait()
}

func TestRaftAndBatchesOfNoClusterAreRefused(t *testing.T) {
	blank := testConfig(t.TempDir())
	joining(&blank)
	for name, r := range map[string]*Replica{"of a cluster": openReady(t, testConfig(t.TempDir())), "of none": open(t, blank)} {
		stranger := newPort(noListener{}, identity0{id: "stranger"}, r.log)
		for _, kind := range []byte{kindRaft, kindJournal} {
			c, err := stranger.dial(t.Context(), kind, r.ID(), r.port.listener.Addr().String())
			if err == nil {
				_ = c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "of no cluster") {
				t.Errorf("kind %q, by a replica %s: error %v", kind, name, err)
			}
		}
	}
}

// Raft of the replica that forms the cluster may stand for election before that replica has written
// down that it has formed it. Its voters must not be replicas that have not heard of the cluster: over
// Raft's connections, which stay, they never would.
func TestElectionWhileForming(t *testing.T) {
	for range 50 {
		c := newBlankTrio(t, 3, nil)
		first := slices.MinFunc(c.replicas, func(a, b *Replica) int { return strings.Compare(a.ID(), b.ID()) })
		for start := time.Now(); !first.data.known().Forming && time.Since(start) < soon; {
			runtime.Gosched()
		}
		first.data.writing.Lock() // what it knows of itself stays as it is now
		inTime := first.data.known().Forming
		if inTime && happens(4*first.cfg.RaftTimeout, first.leads) {
			t.Error("it leads replicas that do not know of which cluster they are")
		}
		first.data.writing.Unlock()
		c.ready()
		if inTime {
			return
		}
		for i := range c.replicas { // on a busy machine this goroutine may have come too late
			c.stop(i)
		}
	}
	t.Error("it had always formed the cluster before it could be held up")
}

// A connection that says nothing, half a greeting, or claims a batch of 4 GiB costs little and goes.
func TestHostileGreetings(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	me := r.whoami()
	greeting := appendText(appendText(appendText([]byte{kindJournal, plainGreeting}, me.cluster), me.id), "x")
	huge := binary.BigEndian.AppendUint32(greeting, 1<<32-1)
	for name, sent := range map[string][]byte{"nothing": nil, "half": greeting[:5], "other version": {kindRaft, 9},
		"huge batch": huge} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", r.port.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(2 * greetingTimeout)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 64)
			for err == nil {
				_, err = c.Read(buf)
			}
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Error("the connection stays")
			}
		})
	}
}

// A crash between choosing the cluster's id and the first entry: the next start forms it.
func TestCrashWhileForming(t *testing.T) {
	dir := crashed(t, func(string) {})
	id := identityOf(t, dir)
	id.Cluster, id.Forming = randomID(), true
	writeIdentity(t, dir, id)
	r := openReady(t, testConfig(dir))
	if got := r.whoami().cluster; got != id.Cluster {
		t.Errorf("cluster %s, want %s", got, id.Cluster)
	}
	if identityOf(t, dir).Forming {
		t.Error("still forming")
	}
}

// With -join nobody forms a cluster before somebody has answered, not even one who expects itself
// only.
func TestJoinComesFirst(t *testing.T) {
	one := openReady(t, testConfig(t.TempDir()))
	cfg := testConfig(t.TempDir())
	cfg.Name, cfg.Gossip.Join = "r2", []string{one.gossip.address}
	two := openReady(t, cfg)
	if a, b := one.whoami().cluster, two.whoami().cluster; a != b {
		t.Errorf("clusters %s and %s", a, b)
	}
}

// Decisions about long texts are split, so that each entry is one that every replica takes.
func TestManyDecisionsAboutLongTexts(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.TombstoneLifetime = 100 * time.Millisecond
	r := openReady(t, cfg)
	info := nsqd(1)
	info.BroadcastAddress = strings.Repeat("a", 3000)
	s, err := r.OpenSession(info, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxBatchChanges {
		register(t, s, fmt.Sprintf("topic-%d", n), "")
	}
	change(t, r, fsm.Tombstone(fsm.AllTopics, info.BroadcastAddress+":4151"))
	eventually.True(t, soon, "the tombstones end", func() error {
		if n := r.registry.State().Counts().Tombstones; n > 0 {
			return fmt.Errorf("%d are left", n)
		}
		return nil
	})
}

// A replica that is taken for lost says otherwise until it is heard.
func TestLostIsDeniedUntilHeard(t *testing.T) {
	j := newJournal("id", 1)
	j.setLost(true)
	for round := range 3 {
		if b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); !ok || b.last != b.first-1 {
			t.Fatalf("round %d: batch %+v, %v", round, b, ok)
		}
		if _, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); ok {
			t.Fatal("said twice without a failure")
		}
		j.rewind() // it failed
	}
	j.next(levelAt{level: fsm.MaxLevel}, 1)
	j.setLost(false)
	j.rewind()
	if _, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); ok {
		t.Error("denied though it is found")
	}
}

func FuzzGreetingAndBatch(f *testing.F) {
	f.Add(append([]byte{kindRaft, helloGreeting, 1, 'c', 1, 'i', 1, 'o', 0, 30}, `{"name":"a","start":1,"nonces":[1]}`[:30]...))
	f.Add([]byte{kindRaft, plainGreeting, 1, 'c', 1, 'i', 1, 'o'})
	f.Add([]byte{0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := strings.NewReader(string(data))
		if g, err := readGreeting(r, helloGreeting); err == nil && (len(g.from.id) > 255 || len(g.from.cluster) > 255 || len(g.hello.Nonces) > maxLives) {
			t.Error("too long")
		}
		if entry, err := readBatch(strings.NewReader(string(data))); err == nil {
			_, _ = fsm.CheckBatch(entry)
		}
		if m, err := decodeMeta(data); err == nil {
			_ = m.clusterAddress()
		}
	})
}
