package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func TestJudge(t *testing.T) {
	now := lineage{7, []uint32{5, 6, 7}}
	of := func(start uint64, nonce uint32, acked uint64) peerRecord {
		return peerRecord{Life: life{start, nonce}, Acked: acked}
	}
	refused := func(known peerRecord, lives ...life) peerRecord {
		known.Refused = lives
		return known
	}
	for name, c := range map[string]struct {
		known peerRecord
		said  lineage
		last  uint64
		want  judgement
	}{
		"nothing is known":                        {peerRecord{}, now, 0, sameLife},
		"it tells none, as release 0.1.0":         {of(9, 9, 90), lineage{}, 0, sameLife},
		"the same life":                           {of(7, 7, 90), now, 100, sameLife},
		"the same life, overtaken by acks":        {of(7, 7, 101), now, 100, sameLife},
		"the next life":                           {of(6, 6, 90), now, 90, laterLife},
		"the life after the next":                 {of(5, 5, 90), now, 90, laterLife},
		"a life long after":                       {of(4, 44, 90), now, 90, laterLife},
		"an older life":                           {of(8, 8, 0), now, 100, olderLife},
		"the same start of a copy":                {of(7, 70, 0), now, 100, forkedLife},
		"a copy that counted on past it":          {of(6, 60, 0), now, 100, forkedLife},
		"a copy that counted on far":              {of(5, 50, 0), now, 100, forkedLife},
		"a log that has lost something":           {of(6, 6, 91), now, 90, shortLog},
		"first life after 0.1.0":                  {of(0, 0, 90), now, 90, sameLife},
		"first life after 0.1.0, with a loss":     {of(0, 0, 91), now, 90, shortLog},
		"an older life, with a log that is short": {of(8, 8, 99), now, 1, olderLife},
		"a life that was refused":                 {refused(of(6, 6, 90), life{7, 7}), now, 90, forkedLife},
		"it descends from one that was refused":   {refused(of(5, 5, 90), life{2, 2}, life{6, 6}), now, 90, forkedLife},
		"another was refused":                     {refused(of(6, 6, 90), life{7, 70}, life{9, 9}), now, 90, laterLife},
	} {
		if got := judge(c.known, c.said, c.last); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if got := judge(c.known, c.said, c.last); got.refuses() && (strings.Contains(got.explain(c.known, hello{}), "\n") ||
			got.explain(c.known, hello{}) == "") {
			t.Errorf("%s: explained as %q", name, got.explain(c.known, hello{}))
		}
	}
}

func TestLineage(t *testing.T) {
	var l lineage
	var all []life
	for range 3 * maxLives {
		l = l.next()
		all = append(all, l.life())
	}
	if l.Start != uint64(len(all)) || len(l.Nonces) != maxLives {
		t.Fatalf("start %d, %d nonces", l.Start, len(l.Nonces))
	}
	for _, was := range all {
		nonce, kept := l.nonce(was.Start)
		if kept != (was.Start+maxLives > l.Start) || kept && nonce != was.Nonce {
			t.Errorf("start %d: nonce %d, %v, want %d", was.Start, nonce, kept, was.Nonce)
		}
	}
	if _, kept := l.nonce(l.Start + 1); kept {
		t.Error("it knows the future")
	}
}

// Starts are counted on, also after a program that does not know of them has written replica.json; a
// crash between the two files, or a file of the id before, does no harm.
func TestLivesAreCounted(t *testing.T) {
	dir := t.TempDir()
	begin := func() lineage {
		t.Helper()
		d, err := openDataPath(dir, "r1", false)
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		l, err := d.beginLife()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := begin()
	second := begin()
	if nonce, ok := second.nonce(1); second.Start != 2 || !ok || nonce != first.life().Nonce {
		t.Errorf("first %v, second %v", first, second)
	}
	id := identityOf(t, dir)
	id.ID = randomID()
	writeIdentity(t, dir, id)
	if l := begin(); l.Start != 1 {
		t.Errorf("under another id: %v", l)
	}
	path := filepath.Join(dir, livesFile)
	for content, advice := range map[string]string{"{": "move the data path away", `{"format":9}`: "upgrade"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := openDataPath(dir, "r1", false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.beginLife()
		checkDataError(t, err, dir, advice)
		d.close()
	}
}

// A replica comes back from an older copy of its data path: it ends, the others go on, and nothing that
// was acknowledged is lost.
func TestOlderCopyIsRefused(t *testing.T) {
	c := newTrio(t, 3, nil)
	change(t, c.leader(), fsm.CreateTopic("early"))
	c.agree()
	c.stop(2)
	old := c.copyPath(2)
	back := c.start(2) // start 2
	c.ready()
	c.knowsLife(back, c.replicas[0], c.replicas[1])
	change(t, c.leader(), fsm.CreateTopic("acknowledged"))
	c.agree()
	c.stop(2)
	_ = c.start(2) // start 3
	c.ready()
	c.knowsLife(c.replicas[2], c.replicas[0], c.replicas[1])
	c.stop(2)
	c.swap(2, old)
	if r, err := c.tryOpen(2, filepath.Join(c.dir, "2")); !errors.Is(err, errCondemned) {
		t.Errorf("it could have voted before it was refused: error %v", err)
		_ = r.Close()
	}
	c.isRefused(2, "not the history", "lookupctl remove") // however often it is started
	c.log.says(t, "refused a replica", "older copy")
	change(t, c.leader(), fsm.CreateTopic("afterwards"))
	if _, ok := c.leader().registry.State().Lookup("acknowledged"); !ok {
		t.Error("an acknowledged change is lost")
	}
	c.isRefused(2, "not the history")
}

// The copy is of the life that went on: only its log tells.
func TestOlderCopyOfTheSameLifeIsRefused(t *testing.T) {
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) {
			c := newTrio(t, 3, nil)
			i := 2
			for n, r := range c.replicas {
				if r.leads() == (role == "leader") {
					i = n
				}
			}
			c.agree()
			old := c.copyPath(i)
			change(t, c.leader(), fsm.CreateTopic("acknowledged"))
			c.agree()
			others := 0
			for _, r := range c.running() {
				if known := r.book.get(c.replicas[i].ID()); known.Acked > 0 {
					others++
				}
			}
			if others == 0 {
				t.Fatal("no other replica knows what it has acknowledged")
			}
			c.stop(i)
			c.swap(i, old)
			c.isRefused(i, "ends at entry", "has acknowledged entry")
			if _, ok := c.leader().registry.State().Lookup("acknowledged"); !ok {
				t.Error("an acknowledged change is lost")
			}
		})
	}
}

// The only replica that is there was down when the change was acknowledged, but it has seen the later
// life: it does not elect the copy, nor is elected by it.
func TestWitnessOfALaterLifeRefusesTheCopy(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	c.stop(1)
	old := c.copyPath(1)
	back := c.start(1)
	c.ready()
	c.knowsLife(back, c.replicas[0], c.replicas[2])
	c.stop(2)
	change(t, c.leader(), fsm.CreateTopic("acknowledged"))
	c.agree()
	c.stop(0)
	c.stop(1)
	c.swap(1, old)
	r2 := c.start(2)
	c.isRefused(1, "not the history") // it counts the same start, of another nonce
	if r2.leads() {
		t.Error("the copy has voted")
	}
}

// A copy of a live replica's data path, started elsewhere, goes; the live one stays.
func TestCopyOfALiveReplicaGoes(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	live := c.replicas[1]
	c.knowsLife(live, c.replicas[0], c.replicas[2])
	c.endsRefused(1, c.copyPath(1), "runs already", "never copy a data path")
	c.alter = func(_ int, cfg *Config) { cfg.ClusterAdvertise = live.port.listener.Addr().String() }
	c.endsRefused(1, c.copyPath(1), "runs already") // also when it says that it is where the live one is
	change(t, live, fsm.CreateTopic("afterwards"))
	c.agree()
	select {
	case err := <-live.Failed():
		t.Errorf("the live one ended: %v", err)
	default:
	}
	if known := c.replicas[0].book.get(live.ID()); known.Life != live.lineage.life() {
		t.Error("the copy is taken for the live one")
	}
}

// Two copies of a data path are started at once: at most one lives.
func TestTwoCopiesAtOnce(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	c.stop(1)
	paths := []string{c.copyPath(1), c.copyPath(1)}
	ended := make(chan bool, len(paths))
	stop := make(chan struct{})
	for _, dir := range paths {
		go func() {
			r, err := c.tryOpen(1, dir)
			if err != nil {
				ended <- true
				return
			}
			select {
			case <-r.Failed():
				ended <- true
			case <-stop:
				ended <- false
			}
			_ = r.Close()
		}()
	}
	select {
	case <-ended:
	case <-time.After(soon):
		t.Error("both copies live")
	}
	close(stop)
	<-ended
	change(t, c.leader(), fsm.CreateTopic("afterwards"))
}

// Restarts, crashes at any of the writes of a start, and moves to other addresses are never refused.
func TestHonestRestartsAreNotRefused(t *testing.T) {
	c := newTrio(t, 3, nil)
	for round := range 4 {
		for i := range c.replicas {
			change(t, c.leader(), fsm.CreateTopic("t"+string(rune('a'+round))+string(rune('a'+i))))
			c.stop(i)
			if round == 1 { // it had crashed after counting the start
				d, err := openDataPath(filepath.Join(c.dir, string(rune('0'+i))), "r", false)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.beginLife(); err != nil {
					t.Fatal(err)
				}
				d.close()
			}
			if round == 2 { // it had lost the book
				if err := os.Remove(filepath.Join(c.dir, string(rune('0'+i)), bookFile)); err != nil {
					t.Fatal(err)
				}
			}
			c.start(i)
			c.ready()
		}
	}
	c.agree()
	if text := c.log.all(); strings.Contains(text, "refused a replica") {
		t.Error("an honest restart was refused")
	}
}

// A whole cluster that is put back as it was is as old everywhere, and goes on.
func TestWholeClusterPutBack(t *testing.T) {
	c := newTrio(t, 3, nil)
	change(t, c.leader(), fsm.CreateTopic("early"))
	c.agree()
	for i := range c.replicas {
		c.stop(i)
	}
	var olds []string
	for i := range c.replicas {
		olds = append(olds, c.copyPath(i))
	}
	for i := range c.replicas {
		c.start(i)
	}
	c.ready()
	change(t, c.leader(), fsm.CreateTopic("late"))
	c.agree()
	for i := range c.replicas {
		c.stop(i)
	}
	for i := range c.replicas {
		c.swap(i, olds[i])
	}
	for i := range c.replicas {
		c.start(i)
	}
	c.ready()
	c.agree()
	if _, ok := c.leader().registry.State().Lookup("early"); !ok {
		t.Error("the registry is not there")
	}
}

// A copy stays refused however often it is started, also when its lineage does not reach back to the fork.
func TestCopyIsRefusedForEver(t *testing.T) {
	p := newPort(noListener{}, identity0{"me", "cluster"}, slog.New(slog.DiscardHandler))
	said := func(l lineage) hello { return hello{Name: "other", lineage: l, Last: 9} }
	start := lineage{}.next()
	original, copied := start.next(), start
	if err := p.meet(nil, "id", said(original)); err != nil {
		t.Fatal(err)
	}
	for range 2 * maxLives {
		copied = copied.next()
		if err := p.meet(nil, "id", said(copied)); err == nil {
			t.Fatalf("start %d of the copy is taken", copied.Start)
		}
	}
	for range 2 * maxLives { // not seen here
		original = original.next()
	}
	if err := p.meet(nil, "id", said(original)); err != nil {
		t.Errorf("start %d of the original: %v", original.Start, err)
	}
}
