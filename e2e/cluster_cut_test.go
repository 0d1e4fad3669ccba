package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	cuts         = 6
	settling     = 500 * time.Millisecond // at most, from one cut to the next
	cutGrace     = "3s"
	cutIsolation = "2s" // some cuts are shorter, and nsqds stay where they are; others are longer
)

// TestRandomHistoryUnderCuts has restless nsqds and HTTP clients at three replicas while the network between these is
// cut now and again, in one way or both. In the end every replica must list what the nsqds have, and nothing else.
// E2E_SEED plays another history; what the machine makes of the time between its steps is not repeated.
func TestRandomHistoryUnderCuts(t *testing.T) {
	t.Parallel()
	seed, ok := number(t, "E2E_SEED")
	if !ok {
		seed = 1
	}
	t.Logf("seed %d", seed)
	h := &cutHistory{wired: newWired(t), known: newLedger()}
	busy, calm := context.WithCancel(t.Context())
	defer calm()
	h.startNsqds(t, busy, seed)
	var wg sync.WaitGroup
	for i := range uint64(2) { // so that one goes on while the other waits for a replica that is cut off
		wg.Go(func() { h.change(busy, fmt.Sprintf("made-%d", i), rand.New(rand.NewPCG(seed, 100+i))) })
	}
	chance := rand.New(rand.NewPCG(seed, 0))
	for range cuts {
		wait(t.Context(), time.Duration(chance.Int64N(int64(settling))))
		h.cutSome(t, chance)
	}
	calm()
	wg.Wait()
	h.settled(t)
}

// wired is a cluster whose replicas reach each other's cluster port through wires.
type wired struct {
	*cluster
	*wires
	ids   map[string]string // by name, as the cluster ports below
	ports map[string]string
}

func newWired(t *testing.T) *wired {
	t.Helper()
	c := prepareCluster(t, 3, "-replica-grace", cutGrace, "-isolation-timeout", cutIsolation,
		"-tombstone-lifetime", "1s")
	w := &wired{c, newWires(t), map[string]string{}, map[string]string{}}
	for _, r := range w.replicas {
		w.ports[r.name] = r.args[slices.Index(r.args, "-cluster-address")+1]
		r.args = append(r.args, "-cluster-advertise-address", w.proxy(t, w.ports[r.name]))
		r.launch(t)
	}
	w.settle(t)
	for _, r := range w.replicas {
		s, err := r.status() // for which it asks the others, through their wires
		if err != nil {
			t.Fatal(err)
		}
		w.ids[r.name] = s.ID
	}
	if n := w.used(); n != len(w.replicas)*(len(w.replicas)-1) {
		t.Fatalf("%d wires are in use, want one for each way", n)
	}
	return w
}

// between is the wire by which one replica reaches another.
func (w *wired) between(from, to *replica) *wire { return w.wire(w.ids[from.name], w.ports[to.name]) }

// of returns what is cut, in words too: the wires to a replica, from it, both, or one by which it reaches another.
func (w *wired) of(r *replica, chance *rand.Rand) (what string, cut []*wire) {
	others := slices.DeleteFunc(slices.Clone(w.replicas), func(other *replica) bool { return other == r })
	kind := chance.IntN(4)
	if kind == 3 {
		others = others[chance.IntN(len(others)):][:1]
	}
	for _, other := range others {
		if kind != 1 && kind != 3 {
			cut = append(cut, w.between(other, r))
		}
		if kind != 0 {
			cut = append(cut, w.between(r, other))
		}
	}
	return [...]string{"to " + r.name, "from " + r.name, "to and from " + r.name,
		"from " + r.name + " to " + others[0].name}[kind], cut
}

// cutHistory is what happens at the replicas meanwhile.
type cutHistory struct {
	*wired
	known *ledger
	nsqds []*restless
}

// startNsqds starts some that list all replicas, as the most do, and some that list one address, behind which is
// any.
func (h *cutHistory) startNsqds(t *testing.T, busy context.Context, seed uint64) {
	t.Helper()
	for i := range 8 {
		var peers []*peer
		name := fmt.Sprintf("nsqd-%d", i)
		first := i % len(h.replicas)
		if i%2 == 0 {
			for _, address := range h.tcp() {
				peers = append(peers, &peer{addresses: []string{address}})
			}
		} else {
			peers = append(peers, &peer{addresses: slices.Concat(h.tcp()[first:], h.tcp()[:first])})
		}
		n := newRestless(name, seed, uint64(i+1), h.known, peers...)
		h.nsqds = append(h.nsqds, n)
		n.start(t, busy)
	}
}

// cutSome cuts something for a while, and heals it.
func (h *cutHistory) cutSome(t *testing.T, chance *rand.Rand) {
	t.Helper()
	victim, leads := h.replicas[chance.IntN(len(h.replicas))], ""
	if leader, err := h.led(); err == nil {
		leads = "; " + leader.name + " leads"
		if chance.IntN(2) == 0 {
			victim = leader
		}
	}
	what, wires := h.of(victim, chance)
	how, cut := "silent", (*wire).silence
	if chance.IntN(2) == 0 {
		how, cut = "cut", (*wire).cut
	}
	long := time.Second + time.Duration(chance.Int64N(int64(2*time.Second)))
	t.Logf("%s is %s for %v%s", what, how, long.Round(time.Millisecond), leads)
	for _, w := range wires {
		cut(w)
	}
	wait(t.Context(), long)
	for _, w := range wires {
		w.heal(h.ctx)
	}
}

// change makes changes by HTTP at any replica: topics that no nsqd has are made and deleted, and such channels of
// topics that nsqds have. Tombstones are over before the history is compared.
func (h *cutHistory) change(busy context.Context, name string, chance *rand.Rand) {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	for busy.Err() == nil {
		r := h.replicas[chance.IntN(len(h.replicas))]
		post := func(target string) error {
			return call(client, http.MethodPost, "http://"+r.http+target, "", nil)
		}
		topic := fmt.Sprintf("t%d", chance.IntN(5))
		subject := fmt.Sprintf("%s-%d", name, chance.IntN(30))
		if chance.IntN(2) == 0 {
			subject = topic + " " + subject
		}
		switch kind := chance.IntN(8); kind {
		case 0:
			_ = post(fmt.Sprintf("/topic/tombstone?topic=%s&node=nsqd-%d:4151", topic, chance.IntN(len(h.nsqds))))
		case 1, 2, 3:
			h.known.delete(subject, func() error { return post(target("delete", subject)) })
		default:
			h.known.create(subject, func() error { return post(target("create", subject)) })
		}
		wait(busy, time.Duration(chance.IntN(40))*time.Millisecond)
	}
}

func target(verb, subject string) string {
	topic, channel, isChannel := strings.Cut(subject, " ")
	if isChannel {
		return fmt.Sprintf("/channel/%s?topic=%s&channel=%s", verb, topic, channel)
	}
	return fmt.Sprintf("/topic/%s?topic=%s", verb, topic)
}

// settled waits until every replica lists what there should be, and is the same as the others.
func (h *cutHistory) settled(t *testing.T) {
	t.Helper()
	for _, n := range h.nsqds {
		<-n.calm
	}
	eventually(t, clusterPatience, func() error { return h.everywhere(h.compare) })
	h.agree(t)
	if err := h.everywhere(h.compare); err != nil {
		t.Error(err)
	}
}

// compare returns nil when a replica lists exactly what the nsqds have, by exactly the sessions that they have, and
// nothing that was never made or is deleted.
func (h *cutHistory) compare(l *lookupd) error {
	var live []*client
	sessions := map[string][]string{} // rows of /debug
	for _, n := range h.nsqds {
		if n.plugged() == 0 {
			continue
		}
		c := &client{name: n.name, registrations: n.registrations()}
		live = append(live, c)
		for _, row := range n.rows() {
			sessions[row] = append(sessions[row], slices.Repeat([]string{c.key()}, n.plugged())...)
		}
	}
	rows, err := l.debugRows()
	if err != nil {
		return err
	}
	for row := range sessions {
		if rows[row] == nil {
			return fmt.Errorf("%s: /debug has no row %s", l.name, row)
		}
	}
	for row, producers := range rows {
		if got := keys(producers); !sameSet(got, sessions[row]) {
			return fmt.Errorf("%s: /debug has sessions of %v under %s, want %v", l.name, got, row, sessions[row])
		}
	}
	return errors.Join(lists(l, live), h.compareNames(l, sessions))
}

// compareNames compares topics and channels, and looks for producers where there should be none.
func (h *cutHistory) compareNames(l *lookupd, sessions map[string][]string) error {
	topics, err := l.topics()
	if err != nil {
		return err
	}
	if err := h.known.compare("", topics); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	for _, topic := range topics {
		found, err := l.lookup(topic)
		if err != nil {
			return err
		}
		if sessions["topic:"+topic+":"] == nil && len(found.Producers) > 0 {
			return fmt.Errorf("%s: /lookup has %v for %s, which nobody has", l.name, keys(found.Producers), topic)
		}
		if err := h.known.compare(topic, found.Channels); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}
