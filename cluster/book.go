package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxRecords bounds the book. A cluster has far fewer servers; of the others the ones that were
	// heard of longest ago are forgotten first.
	maxRecords = 64
	// maxAddresses bounds the cluster addresses that are remembered of one replica.
	maxAddresses = 3
)

// book is what this replica knows of each other replica, by id: its name, its life, where it listens,
// and what it has acknowledged. Greetings, Raft's traffic and gossip feed it. The data path keeps it,
// because gossip forgets, and lags by seconds.
type book struct {
	mu      sync.Mutex
	cluster string // of which cluster the records are, "" while there is none
	records map[string]*peerRecord
	clock   uint64        // counts what was heard; a record's order
	dirty   bool          // the file is older than the records
	changed chan struct{} // holds a token when more than acknowledgements changed
	unmet   chan struct{} // holds a token when gossip tells of a life that no greeting has told of
	calls   map[string]chan struct{}
}

// peerRecord is what the book knows of one replica.
type peerRecord struct {
	ID          string   `json:"id"`
	Name        string   `json:"name,omitempty"`
	Life        life     `json:"life,omitzero"` // the newest that was accepted; zero for release 0.1.0, which tells none
	Incarnation uint64   `json:"incarnation,omitempty"`
	Level       uint64   `json:"level,omitempty"`
	Version     string   `json:"version,omitempty"`
	Addresses   []string `json:"addresses,omitempty"` // of the cluster port, by greetings; the newest first
	Hint        string   `json:"hint,omitempty"`      // of the cluster port, by gossip
	Gossip      string   `json:"gossip,omitempty"`
	Acked       uint64   `json:"acked,omitempty"` // the highest committed index that it has acknowledged
	// Refused are the newest lives that began with a copy: they came while the accepted one lived, or forked.
	Refused []life `json:"refused,omitempty"`

	TCP  string `json:"tcp,omitempty"` // where clients reach it
	HTTP string `json:"http,omitempty"`

	heard     uint64 // the book's clock when it was last heard of
	hintFirst bool   // the hint is of a newer incarnation than any greeting
	plain     bool   // it speaks version 1 of the greeting, as gossip tells
	hangUps   hangUps
	at        time.Time // of the last sign of life over the cluster port
	seen      life      // by gossip, which proves nothing
}

// hangUps counts how often a replica has hung up at greetings of version 2.
type hangUps struct {
	inRow int
	last  time.Time
}

// unmet reports whether the replica lives a life that no greeting has told of.
func (r *peerRecord) unmet() bool {
	return !r.plain && r.Hint != "" && (r.Life.Start == 0 || r.seen.Start > 0 && r.seen != r.Life)
}

// maxRefused is how many refused lives a record keeps. A copy that is started again descends from the last one.
const maxRefused = 8

// plainKept is for how long a replica that hung up at the newer greeting gets the older one first.
const plainKept = 30 * time.Second

// heardLately is how old a sign of life may be by which a replica counts as alive.
const heardLately = 10 * time.Second

func newBook() *book {
	return &book{records: make(map[string]*peerRecord), calls: make(map[string]chan struct{}), changed: make(chan struct{}, 1),
		unmet: make(chan struct{}, 1)}
}

// of returns the record of an id, which it makes when there is none. The caller holds the lock.
func (b *book) of(id string) *peerRecord {
	known, ok := b.records[id]
	if !ok {
		known = &peerRecord{ID: id}
		b.records[id] = known
	}
	b.clock++
	known.heard = b.clock
	for len(b.records) > maxRecords {
		b.forgetOldest()
	}
	return known
}

func (b *book) forgetOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Values(b.records)), func(x, y *peerRecord) int {
		return cmp.Compare(x.heard, y.heard)
	})
	delete(b.records, oldest.ID)
}

// get returns a copy of what is known of an id, an empty record for nothing.
func (b *book) get(id string) peerRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.records[id]
	if !ok {
		return peerRecord{}
	}
	r := *known
	r.Addresses = slices.Clone(known.Addresses)
	return r
}

// all returns a copy of every record, by id.
func (b *book) all() []peerRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]peerRecord, 0, len(b.records))
	for _, known := range b.records {
		r := *known
		r.Addresses = slices.Clone(known.Addresses)
		all = append(all, r)
	}
	slices.SortFunc(all, func(x, y peerRecord) int { return strings.Compare(x.ID, y.ID) })
	return all
}

// addresses returns where to dial the replica of that id, best first.
func (b *book) addresses(id string) []string {
	known := b.get(id)
	return known.where()
}

// where returns the record's cluster addresses, best first.
func (r peerRecord) where() []string {
	all := r.Addresses
	switch {
	case r.Hint == "" || slices.Contains(all, r.Hint):
	case r.hintFirst:
		all = append([]string{r.Hint}, all...)
	default:
		all = append(slices.Clip(all), r.Hint)
	}
	return all
}

// heardLately reports whether there was a sign of life over the cluster port in the last ten seconds.
func (r peerRecord) heardLately(now time.Time) bool {
	return !r.at.IsZero() && now.Sub(r.at) < heardLately
}

// lastKnown returns where the replica was last known to be.
func (r peerRecord) lastKnown() Addresses {
	a := Addresses{TCP: r.TCP, HTTP: r.HTTP, Gossip: r.Gossip}
	if all := r.where(); len(all) > 0 {
		a.Cluster = all[0]
	}
	return a
}

// name returns what people call the replica of that id, "" when it is not known.
func (b *book) name(id string) string {
	known := b.get(id)
	return known.Name
}

// acked notes that the replica of that id has acknowledged everything up to a committed index.
func (b *book) acked(id string, index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.records[id]
	if !ok {
		known = b.of(id)
	}
	if index > known.Acked {
		known.Acked, b.dirty = index, true
	}
}

// heard notes a sign of life of that id over the cluster port, and wakes those that wait for one.
func (b *book) heard(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.records[id]; ok {
		b.of(id).at = time.Now()
	}
	if c, ok := b.calls[id]; ok {
		close(c)
		delete(b.calls, id)
	}
}

// alive returns a channel that is closed at the next sign of life of that id.
func (b *book) alive(id string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.calls[id]
	if !ok {
		c = make(chan struct{})
		b.calls[id] = c
	}
	return c
}

// gossiped learns from gossip what the member says of itself. It does not touch the life, which only a
// greeting can prove, nor wait for the disk, because memberlist calls it under its lock.
func (b *book) gossiped(m member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.records[m.ID]; ok && m.Incarnation < known.Incarnation {
		return // an older life of it
	}
	known := b.of(m.ID)
	before := *known
	if m.Incarnation > known.Incarnation {
		known.Level, known.Version = m.Level, m.Version
		known.hintFirst = true
	}
	known.Hint = m.clusterAddress()
	known.plain, known.seen = m.Level == 0, m.life()
	if known.unmet() {
		select {
		case b.unmet <- struct{}{}:
		default:
		}
	}
	known.Incarnation, known.Name, known.Gossip = m.Incarnation, m.Name, m.gossip
	known.TCP, known.HTTP = join(m.Host, m.TCP), join(m.Host, m.HTTP)
	if before.Name != known.Name || before.Gossip != known.Gossip || before.Hint != known.Hint ||
		before.Incarnation != known.Incarnation {
		b.touch()
	}
}

// reached notes that the replica of that id has answered at an address, and reports whether that is new.
func (b *book) reached(id, address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.of(id)
	if !known.put(address) {
		return false
	}
	b.touch()
	return true
}

// judge compares a hello with what is known of its id.
func (b *book) judge(id string, said hello) (peerRecord, judgement) {
	known := b.get(id)
	known.ID = id
	return known, judge(known, said.lineage, said.Last)
}

// refuse notes a life that began with a copy, and reports whether that is new. A service manager starts it
// again: later on the accepted one may stand still for a while, and the copy's lineage be too long to tell.
func (b *book) refuse(id string, l life) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.of(id)
	if slices.Contains(known.Refused, l) {
		return false
	}
	all := append(slices.Clone(known.Refused), l) // copies of the record share the old ones
	known.Refused = all[max(0, len(all)-maxRefused):]
	b.touch()
	return true
}

// learn takes over what a replica that was accepted says of itself, and reports whether the file should
// be written before anything else is said to that replica. It learns nothing from a life that another has
// overtaken since it was judged.
func (b *book) learn(id string, said hello) (changed, overtaken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.of(id)
	if now := said.life(); now.Start > 0 && known.Life.Start >= now.Start && known.Life != now {
		return false, true
	}
	known.plain, known.hangUps = false, hangUps{}
	if said.Name == "" {
		return false, false
	}
	changed = known.put(said.Address)
	before := *known
	known.Name, known.Version, known.Level = said.Name, said.Version, said.Level
	known.Gossip, known.TCP, known.HTTP = cmp.Or(said.Gossip, known.Gossip), said.TCP, said.HTTP
	if said.Start > 0 {
		known.Life = said.life()
	}
	if said.Incarnation >= known.Incarnation {
		known.Incarnation, known.hintFirst = said.Incarnation, false
	}
	changed = changed || known.Name != before.Name || known.Life != before.Life || known.Incarnation != before.Incarnation
	if changed || known.Level != before.Level || known.Version != before.Version || known.Gossip != before.Gossip {
		b.touch()
	}
	return changed, false
}

// plainly notes a greeting of version 1: whatever the replica knew before, it is of release 0.1.0 now.
func (b *book) plainly(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.records[id]; ok && known.Level > 0 {
		known.Level, known.Version = 0, ""
		b.touch()
	}
}

// speaksPlain reports whether the older greeting is the one to begin with.
func (b *book) speaksPlain(id string) bool {
	known := b.get(id)
	return known.plain || known.hangUps.inRow > 0 && known.Level == 0 && time.Since(known.hangUps.last) < plainKept
}

// hungUp notes that the replica of that id has hung up at the newer greeting, and reports whether to try
// the older one: at once when the newer one was never heard of it, else at the second time, because it
// may just have ended.
func (b *book) hungUp(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.of(id)
	known.hangUps.inRow++
	known.hangUps.last = time.Now()
	return known.Life.Start == 0 || known.hangUps.inRow > 1
}

// newlyAgain has the newer greeting come first again after hang-ups, because the older one was refused.
func (b *book) newlyAgain(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.records[id]; ok {
		known.hangUps = hangUps{}
	}
}

// put makes the address the first one; false when it was.
func (r *peerRecord) put(address string) bool {
	if address == "" || len(r.Addresses) > 0 && r.Addresses[0] == address {
		return false
	}
	all := append([]string{address}, slices.DeleteFunc(slices.Clone(r.Addresses), func(a string) bool { return a == address })...)
	r.Addresses = all[:min(len(all), maxAddresses)]
	return true
}

// touch has the file written soon. The caller holds the lock.
func (b *book) touch() {
	b.dirty = true
	select {
	case b.changed <- struct{}{}:
	default:
	}
}
