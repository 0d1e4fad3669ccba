package fsm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Restore replaces the whole registry by what a snapshot holds. It reads all of it and checks it
// against its fingerprint first: after an error the registry is as it was. The error is ErrTooNew
// or ErrCorrupt, or the reader's.
func (r *Registry) Restore(src io.Reader) error {
	b := &builder{r: &Registry{}, frames: frameReader{r: bufio.NewReaderSize(src, 64<<10)}}
	b.r.reset()
	h, err := b.build()
	if errors.Is(err, errMalformed) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	r.index, r.serial, r.level = b.r.index, b.r.serial, b.r.level
	r.sum, r.counts = b.r.sum, b.r.counts
	r.topics, r.producers, r.sessions, r.replicas = b.r.topics, b.r.producers, b.r.sessions, b.r.replicas
	r.work, r.shown = work{}, r.index
	s := r.state(nil)
	s.allTopics.modified, s.allNodes.modified = h.topicsModified, h.nodesModified
	r.ring.reset()
	r.ring.add(s.index, s.fingerprint)
	r.changed.reset(s.index)
	r.published.Store(s)
	r.watch.wakeAll()
	return nil
}

// builder makes a registry from a snapshot's frames.
type builder struct {
	r        *Registry
	frames   frameReader
	sessions []*liveSession
}

func (b *builder) build() (snapshotHeader, error) {
	h, err := b.header()
	if err != nil {
		return h, err
	}
	b.r.index, b.r.serial, b.r.level = h.index, h.serial, h.level
	b.r.sum = b.r.hash.serial(h.serial).plus(b.r.hash.level(h.level))
	steps := []struct {
		count uint64
		read  func(*decoder) error
	}{{h.replicas, b.replica}, {h.sessions, b.session}, {h.topics, b.topic}}
	for _, step := range steps {
		for range step.count {
			d, err := b.frames.next()
			if err != nil {
				return h, err
			}
			if err := errors.Join(step.read(d), d.end()); err != nil {
				return h, err
			}
		}
	}
	if _, err := b.frames.r.ReadByte(); err == nil {
		return h, fmt.Errorf("%w: more follows the snapshot's end", errMalformed)
	} else if !errors.Is(err, io.EOF) {
		return h, err
	}
	if b.r.sum != h.fingerprint {
		return h, fmt.Errorf("%w: fingerprint %s, the header says %s", errMalformed, b.r.sum, h.fingerprint)
	}
	return h, nil
}

func (b *builder) header() (h snapshotHeader, err error) {
	start := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(b.frames.r, start); err != nil {
		return h, cutShort(err)
	}
	if string(start[:len(snapshotMagic)]) != snapshotMagic {
		return h, fmt.Errorf("%w: not a snapshot of raftlookupd", errMalformed)
	}
	version := start[len(snapshotMagic)]
	if version != snapshotVersion && version != leveledVersion {
		return h, fmt.Errorf("snapshot of version %d: %w", version, ErrTooNew)
	}
	d, err := b.frames.next()
	if err != nil {
		return h, err
	}
	h = d.snapshotHeader(version)
	if h.level > MaxLevel {
		return h, fmt.Errorf("snapshot of level %d: %w", h.level, ErrTooNew)
	}
	if err := d.end(); err != nil {
		return h, err
	}
	if h.version() != version {
		return h, fmt.Errorf("%w: snapshot of version %d, level %d", errMalformed, version, h.level)
	}
	return h, nil
}

func (b *builder) replica(d *decoder) error {
	rep := d.replica()
	if n := len(b.r.replicas); n > 0 && b.r.replicas[n-1].id >= rep.id {
		return fmt.Errorf("%w: replicas out of order", errMalformed)
	}
	b.r.replicas = append(b.r.replicas, rep)
	b.r.add(b.r.hash.replica(rep))
	return nil
}

func (b *builder) session(d *decoder) error {
	s := d.session(snapshotHeader{level: b.r.level}.version())
	if n := len(b.sessions); n > 0 && b.sessions[n-1].serial >= s.serial {
		return fmt.Errorf("%w: sessions out of order", errMalformed)
	}
	if s.serial > b.r.serial {
		return fmt.Errorf("%w: serial %d, the registry's last is %d", errMalformed, s.serial, b.r.serial)
	}
	if s.since > b.r.index || s.since > 0 && !s.orphan || s.detached && s.since == 0 {
		return fmt.Errorf("%w: session an orphan since %d, the index is %d", errMalformed, s.since, b.r.index)
	}
	if _, known := b.r.findReplica(s.key.Replica); !known {
		return fmt.Errorf("%w: session of a replica that is not there", errMalformed)
	}
	if b.r.sessions[s.key] != nil {
		return fmt.Errorf("%w: a session appears twice", errMalformed)
	}
	live := b.r.insert(s)
	b.r.sessions[s.key] = live
	b.sessions = append(b.sessions, live)
	if p := b.r.producer(s.producer); p != nil {
		b.r.producers.Set(p.with(s))
	} else {
		b.r.producers.Set(&producer{key: s.producer, sessions: []*session{s}})
	}
	return nil
}

func (b *builder) topic(d *decoder) error {
	t := newTopic(keep(d.text(MaxNameLength)), d.number())
	t.registered = d.flag()
	if name, _, ok := b.r.topics.Max(); ok && name >= t.name {
		return fmt.Errorf("%w: topics out of order", errMalformed)
	}
	if t.modified > b.r.index { // the entry at that index would alter what is published
		return fmt.Errorf("%w: topic modified at index %d, after the snapshot", errMalformed, t.modified)
	}
	if t.registered {
		b.r.counts.Topics++
		b.r.add(b.r.hash.topic(t.name))
	}
	if err := errors.Join(b.channels(t, d), b.holders(t, d), b.tombstones(t, d)); err != nil {
		return err
	}
	if !t.registered && len(t.channels) == 0 {
		return fmt.Errorf("%w: topic of which nothing is left", errMalformed)
	}
	b.r.topics.Load(t.name, t)
	return nil
}

func (b *builder) channels(t *topic, d *decoder) error {
	for n := d.number(); n > 0 && !d.failed; n-- {
		name := keep(d.text(MaxNameLength))
		if i := len(t.channels); i > 0 && t.channels[i-1].name >= name {
			return fmt.Errorf("%w: channels out of order", errMalformed)
		}
		t.channels = append(t.channels, channel{name: name})
		b.r.counts.Channels++
		b.r.add(b.r.hash.channel(t.name, name))
	}
	t.channels = slices.Clip(t.channels)
	return nil
}

func (b *builder) holders(t *topic, d *decoder) error {
	for n := d.number(); n > 0 && !d.failed; n-- {
		i := d.number()
		if i >= uint64(len(b.sessions)) {
			return fmt.Errorf("%w: no session at position %d", errMalformed, i)
		}
		live := b.sessions[i]
		h := newHolder(live.identity, 0)
		if at := len(t.holders); at > 0 && t.holders[at-1].session.compare(h.session) >= 0 {
			return fmt.Errorf("%w: holders out of order", errMalformed)
		}
		if err := b.held(t, h, d); err != nil {
			return err
		}
		t.holders = append(t.holders, h)
		live.topics[t.name] = struct{}{}
		b.r.add(b.r.hash.topicRegistration(live.serial, t.name))
	}
	t.holders = slices.Clip(t.holders)
	return nil
}

// held reads which of the topic's channels a holder has.
func (b *builder) held(t *topic, h *holder, d *decoder) error {
	for n := d.number(); n > 0 && !d.failed; n-- {
		i := d.number()
		if i >= uint64(len(t.channels)) {
			return fmt.Errorf("%w: no channel at position %d", errMalformed, i)
		}
		name := t.channels[i].name
		if at := len(h.channels); at > 0 && h.channels[at-1] >= name {
			return fmt.Errorf("%w: a holder's channels out of order", errMalformed)
		}
		h.channels = append(h.channels, name)
		t.channels[i].holders++
		b.r.add(b.r.hash.channelRegistration(h.session.serial, t.name, name))
	}
	h.channels = slices.Clip(h.channels)
	return nil
}

func (b *builder) tombstones(t *topic, d *decoder) error {
	for n := d.number(); n > 0 && !d.failed; n-- {
		stone := tombstone{producer: d.producer(), id: d.number()}
		stone.producer.Address = keep(stone.producer.Address)
		if stone.id == 0 || stone.id > b.r.serial {
			return fmt.Errorf("%w: tombstone of id %d", errMalformed, stone.id)
		}
		if !t.holds(stone.producer) {
			return fmt.Errorf("%w: tombstone of a producer that does not have the topic", errMalformed)
		}
		if at := len(t.tombstones); at > 0 && t.tombstones[at-1].producer.compare(stone.producer) >= 0 {
			return fmt.Errorf("%w: tombstones out of order", errMalformed)
		}
		t.tombstones = append(t.tombstones, stone)
		b.r.counts.Tombstones++
		b.r.add(b.r.hash.tombstone(t.name, stone))
	}
	return nil
}

// frameReader reads frames. A frame's memory grows with the data that really comes, whatever
// length it claims.
type frameReader struct {
	r   *bufio.Reader
	buf bytes.Buffer
}

const maxFrame = 1 << 30

func (f *frameReader) next() (*decoder, error) {
	n, err := f.length()
	if err != nil {
		return nil, err
	}
	f.buf.Reset()
	if _, err := io.CopyN(&f.buf, f.r, int64(n)); err != nil {
		return nil, cutShort(err)
	}
	return &decoder{rest: f.buf.String()}, nil
}

// length reads a frame's length.
func (f *frameReader) length() (n uint64, err error) {
	for shift := 0; n <= maxFrame && shift < 64; shift += 7 {
		b, err := f.r.ReadByte()
		if err != nil {
			return 0, cutShort(err)
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 && n <= maxFrame {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: frame of more than %d bytes", errMalformed, maxFrame)
}

// cutShort turns an end of the file where none should be into errMalformed.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", errMalformed)
	}
	return err
}
