package fsm

import (
	"slices"

	"pgregory.net/rapid"
)

// world makes random histories, and does to a model what it does to the registry.
type world struct {
	r       *Registry
	m       *model
	index   uint64
	lives   map[string]*life
	sent    []batch  // every batch that was ever delivered or refused
	entries []logged // the log
	outcome modelOutcome
	last    *Outcome // of the last entry, nil when that was a restore
}

// life is one incarnation of a replica as it sees itself.
type life struct {
	incarnation uint64
	changes     []Change
}

type batch struct {
	Header
	changes []Change
}

type logged struct {
	index uint64
	data  []byte
}

func newWorld() *world {
	w := &world{r: New(), m: newModel(), lives: map[string]*life{}}
	w.m.points[0] = w.r.State().Fingerprint()
	return w
}

// actions are the steps of a history.
func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"batch":      w.next,
		"more":       w.next, // twice as likely
		"again":      w.again,
		"overlap":    w.overlap,
		"gap":        w.gap,
		"reopen":     w.reopen,
		"not open":   w.notOpen,
		"misplaced":  w.misplaced,
		"decide":     w.decide,
		"checkpoint": w.checkpoint,
		"too early":  w.tooEarly,
		"raise":      w.raise,
	}
}

// begin begins the next entry.
func (w *world) begin(t *rapid.T) {
	w.index += uint64(rapid.IntRange(1, 2).Draw(t, "index step")) // Raft has entries of its own
	w.m.index, w.m.events = w.index, nil
}

// apply feeds an entry to the registry.
func (w *world) apply(t *rapid.T, data []byte) {
	o, err := w.r.Apply(w.index, data)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	w.entries = append(w.entries, logged{w.index, data})
	w.last = o
	w.m.points[w.index] = w.r.State().Fingerprint()
}

func (w *world) deliver(t *rapid.T, b batch) {
	w.sent = append(w.sent, b)
	w.begin(t)
	w.outcome = w.m.batch(b.Header, b.changes)
	w.apply(t, journalEntry(b.Header, b.changes...))
}

func (w *world) draw(t *rapid.T) (string, *life) {
	id := rapid.SampledFrom(replicaIDs).Draw(t, "replica")
	if w.lives[id] == nil {
		w.lives[id] = &life{incarnation: 1, changes: []Change{OpenReplica("name of " + id)}}
		w.deliver(t, batch{Header{id, 1, 1}, w.lives[id].changes})
	}
	return id, w.lives[id]
}

// next delivers the next changes of a journal.
func (w *world) next(t *rapid.T) {
	id, l := w.draw(t)
	first := len(l.changes)
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		l.changes = append(l.changes, w.change(t, l))
	}
	w.deliver(t, batch{Header{id, l.incarnation, uint64(first + 1)}, slices.Clone(l.changes[first:])})
}

// again delivers a batch of before, of whatever incarnation.
func (w *world) again(t *rapid.T) {
	if len(w.sent) == 0 {
		t.Skip("nothing sent yet")
	}
	w.deliver(t, rapid.SampledFrom(w.sent).Draw(t, "batch"))
}

// overlap delivers changes of before together with new ones.
func (w *world) overlap(t *rapid.T) {
	id, l := w.draw(t)
	from := rapid.IntRange(0, len(l.changes)).Draw(t, "from")
	for range rapid.IntRange(0, 2).Draw(t, "new") {
		l.changes = append(l.changes, w.change(t, l))
	}
	w.deliver(t, batch{Header{id, l.incarnation, uint64(from + 1)}, slices.Clone(l.changes[from:])})
}

// gap delivers a batch that leaves changes out, or begins at no number at all.
func (w *world) gap(t *rapid.T) {
	id, l := w.draw(t)
	first := rapid.SampledFrom([]uint64{0, uint64(len(l.changes)) + 2, 1<<64 - 1}).Draw(t, "first")
	w.deliver(t, batch{Header{id, l.incarnation, first}, []Change{w.change(t, l)}})
}

// reopen begins the next incarnation of a replica.
func (w *world) reopen(t *rapid.T) {
	id, l := w.draw(t)
	l.incarnation += uint64(rapid.IntRange(1, 2).Draw(t, "incarnation step"))
	l.changes = []Change{OpenReplica(rapid.SampledFrom([]string{"", "new name"}).Draw(t, "name"))}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		l.changes = append(l.changes, w.change(t, l))
	}
	w.deliver(t, batch{Header{id, l.incarnation, 1}, slices.Clone(l.changes)})
}

// notOpen delivers a batch of an incarnation that has not begun.
func (w *world) notOpen(t *rapid.T) {
	id, l := w.draw(t)
	changes := []Change{CreateTopic("t"), CreateTopic("t2")}
	first := rapid.Uint64Range(0, 2).Draw(t, "first")
	n := rapid.IntRange(0, 2).Draw(t, "changes")
	w.deliver(t, batch{Header{id, l.incarnation + 1, first}, changes[:n]})
}

// misplaced delivers an OpenReplica that is not its incarnation's first change.
func (w *world) misplaced(t *rapid.T) {
	id, l := w.draw(t)
	first := rapid.SampledFrom([]uint64{1, uint64(len(l.changes) + 1)}).Draw(t, "first")
	incarnation := l.incarnation + uint64(rapid.IntRange(0, 1).Draw(t, "newer"))
	w.deliver(t, batch{Header{id, incarnation, first},
		[]Change{OpenReplica("x"), CreateTopic("t2"), OpenReplica("y")}})
}

// decide delivers decisions of a leader, some of which come too late.
func (w *world) decide(t *rapid.T) {
	var changes []Change
	for range rapid.IntRange(0, 3).Draw(t, "decisions") {
		changes = append(changes, w.decision(t))
	}
	w.rule(t, changes...)
}

// rule delivers decisions.
func (w *world) rule(t *rapid.T, changes ...Change) {
	w.begin(t)
	w.outcome = w.m.rule(changes)
	w.apply(t, EncodeDecisions(changes...))
}

func (w *world) decision(t *rapid.T) Change {
	id := rapid.SampledFrom(replicaIDs).Draw(t, "of replica")
	incarnation := rapid.Uint64Range(0, 1).Draw(t, "incarnation")
	if l := w.lives[id]; l != nil {
		incarnation += l.incarnation - 1
	}
	switch rapid.IntRange(0, 5).Draw(t, "decision") {
	case 0:
		return LoseReplica(id, incarnation)
	case 1:
		return ExpireReplica(id, incarnation)
	case 2:
		if w.m.level > 0 {
			return ExpireOrphans(w.group(t))
		}
	}
	if len(w.m.stones) > 0 && rapid.Bool().Draw(t, "known tombstone") {
		ids := make(map[uint64]stoneKey)
		for k, id := range w.m.stones {
			ids[id] = k
		}
		known := make([]uint64, 0, len(ids))
		for id := range ids {
			known = append(known, id)
		}
		slices.Sort(known)
		id := rapid.SampledFrom(known).Draw(t, "tombstone")
		return ClearTombstone(ids[id].topic, ids[id].producer, id)
	}
	return ClearTombstone(drawTopic(t), drawInfo(t).Producer(), rapid.Uint64Range(0, 8).Draw(t, "id"))
}

// group draws a group of orphans, or one that there may not be.
func (w *world) group(t *rapid.T) OrphanGroup {
	g := OrphanGroup{Replica: "a", Incarnation: 1}
	if groups := w.m.groups(); len(groups) > 0 {
		g = rapid.SampledFrom(groups).Draw(t, "group")
	}
	switch rapid.IntRange(0, 7).Draw(t, "other group") {
	case 0:
		g.Since = rapid.Uint64Range(0, w.index).Draw(t, "since")
	case 1:
		g.Incarnation++
	}
	return g
}

// maybeRaise begins every other history with level 1; the others may come to it later.
func (w *world) maybeRaise(t *rapid.T) {
	if rapid.Bool().Draw(t, "level 1 from the start") {
		w.rule(t, RaiseLevel(1))
	}
}

// raise delivers a level that may be in force already.
func (w *world) raise(t *rapid.T) {
	w.rule(t, RaiseLevel(rapid.Uint64Range(0, MaxLevel).Draw(t, "level")))
}

// tooEarly delivers an entry of a level that is not in force.
func (w *world) tooEarly(t *rapid.T) {
	if w.m.level > 0 {
		t.Skip("it is in force")
	}
	id, l := w.draw(t)
	if rapid.Bool().Draw(t, "of a journal") {
		w.deliver(t, batch{Header{id, l.incarnation, uint64(len(l.changes) + 1)}, []Change{CreateTopic("t2"), Detach(2)}})
		return
	}
	w.rule(t, LoseReplica(id, l.incarnation), RaiseLevel(1), ExpireOrphans(w.group(t)))
}

// checkpoint delivers a fingerprint, right or wrong, of some index.
func (w *world) checkpoint(t *rapid.T) {
	at := rapid.Uint64Range(0, w.index+2).Draw(t, "at")
	f, _ := w.m.fingerprintAt(at)
	if rapid.Bool().Draw(t, "wrong") {
		f.lo++
	}
	w.rule(t, Checkpoint(at, f))
}

// restore continues with a registry made from a snapshot. It remembers no older fingerprint.
func (w *world) restore(t *rapid.T) {
	w.r = restored(t, snapshot(t, w.r.State()))
	w.m.points = map[uint64]Fingerprint{w.index: w.r.State().Fingerprint()}
	w.last = nil
}

func drawTopic(t *rapid.T) string { return rapid.SampledFrom(topicNames).Draw(t, "topic") }

func drawChannel(t *rapid.T) string { return rapid.SampledFrom(channelNames).Draw(t, "channel") }

// drawInfo draws one of few producers, and how this session shows it.
func drawInfo(t *rapid.T) ProducerInfo {
	info := nsqd(rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "host"))
	info.TCPPort = rapid.SampledFrom([]int{4150, 4150, 999}).Draw(t, "tcp port")
	info.HTTPPort = rapid.SampledFrom([]int{4151, 4153}).Draw(t, "http port")
	info.Version = rapid.SampledFrom([]string{"1.3.0", `<&">`, "\u2028é\xff"}).Draw(t, "version")
	info.TopologyZone = rapid.SampledFrom([]string{"", "zone"}).Draw(t, "zone")
	return info
}

// change draws a change of a journal, most often one of a session that was opened before.
func (w *world) change(t *rapid.T, l *life) Change {
	var opened []uint64
	for i, c := range l.changes {
		if c.Kind == KindOpenSession {
			opened = append(opened, uint64(i+1))
		}
	}
	session := rapid.Uint64Range(0, 9).Draw(t, "any session")
	if len(opened) > 0 && session < 8 {
		session = rapid.SampledFrom(opened).Draw(t, "session")
	}
	kinds := []Kind{KindOpenSession, KindRegister, KindRegister, KindUnregister, KindSetActive, KindSettle,
		KindCloseSession, KindCreateTopic, KindDeleteTopic, KindCreateChannel, KindDeleteChannel, KindTombstone, KindPrune}
	if w.m.level > 0 {
		kinds = append(kinds, KindDetach, KindDetach)
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	if len(opened) == 0 && rapid.Bool().Draw(t, "open") {
		kind = KindOpenSession
	}
	return drawChange(t, kind, session)
}

func drawChange(t *rapid.T, kind Kind, session uint64) Change {
	switch kind {
	case KindOpenSession:
		return OpenSession(drawInfo(t))
	case KindRegister, KindUnregister:
		channel := rapid.SampledFrom(append([]string{""}, channelNames...)).Draw(t, "channel or none")
		return Change{Kind: kind, Session: session, Topic: drawTopic(t), Channel: channel}
	case KindSetActive:
		return SetActive(session, rapid.Bool().Draw(t, "active"))
	case KindSettle, KindCloseSession, KindDetach:
		return Change{Kind: kind, Session: session}
	case KindCreateTopic:
		return CreateTopic(drawTopic(t))
	case KindDeleteTopic:
		return DeleteTopic(drawTopicOrAll(t))
	case KindCreateChannel, KindDeleteChannel:
		return Change{Kind: kind, Topic: drawTopic(t), Channel: drawChannel(t)}
	case KindPrune:
		channel := rapid.SampledFrom(append([]string{""}, channelNames...)).Draw(t, "channel or none")
		return PruneChannel(drawTopicOrAll(t), channel)
	default:
		return Tombstone(drawTopicOrAll(t), drawInfo(t).node())
	}
}

func drawTopicOrAll(t *rapid.T) string {
	if rapid.IntRange(0, 5).Draw(t, "all topics") == 0 {
		return AllTopics
	}
	return drawTopic(t)
}
