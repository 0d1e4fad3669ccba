package fsm

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"io"
	"slices"
)

// The form of a snapshot: the magic, a version byte, then frames, each with its length in front:
// one header, and as many replicas, sessions (by serial) and topics (by name) as the header says.
// A topic refers to sessions and to its own channels by their position.
const (
	snapshotMagic = "RLKS"
	// snapshotVersion is that of a registry of level 0, and the only one that release 0.1.0 knows.
	snapshotVersion = 1
	// leveledVersion is that of a registry of a higher level: the header ends with the level, and a
	// session with its since and detached.
	leveledVersion = 2
)

// snapshotHeader is the first frame.
type snapshotHeader struct {
	index, serial              uint64
	fingerprint                Fingerprint
	topicsModified             uint64 // see listing
	nodesModified              uint64
	replicas, sessions, topics uint64
	level                      uint64 // not in the header of version 1
}

// version returns the version of the snapshots that have such a header.
func (h snapshotHeader) version() byte {
	if h.level > 0 {
		return leveledVersion
	}
	return snapshotVersion
}

func (h snapshotHeader) append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.index)
	b = binary.AppendUvarint(b, h.serial)
	b = h.fingerprint.append(b)
	b = binary.AppendUvarint(b, h.topicsModified)
	b = binary.AppendUvarint(b, h.nodesModified)
	b = binary.AppendUvarint(b, h.replicas)
	b = binary.AppendUvarint(b, h.sessions)
	b = binary.AppendUvarint(b, h.topics)
	if h.version() == leveledVersion {
		b = binary.AppendUvarint(b, h.level)
	}
	return b
}

func (d *decoder) snapshotHeader(version byte) (h snapshotHeader) {
	h.index, h.serial = d.number(), d.number()
	h.fingerprint = d.fingerprint()
	h.topicsModified, h.nodesModified = d.number(), d.number()
	h.replicas, h.sessions, h.topics = d.number(), d.number(), d.number()
	if version == leveledVersion {
		h.level = d.number()
	}
	return h
}

// WriteTo writes the state as a snapshot. It may take seconds; entries go on being applied.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	f := &frameWriter{w: bufio.NewWriterSize(w, 64<<10)}
	f.raw(snapshotMagic)
	sessions := s.sessionsBySerial()
	h := snapshotHeader{
		index: s.index, serial: s.serial, fingerprint: s.fingerprint,
		topicsModified: s.allTopics.modified, nodesModified: s.allNodes.modified,
		replicas: uint64(len(s.replicas)), sessions: uint64(len(sessions)), topics: uint64(s.topics.Len()),
		level: s.level,
	}
	f.raw(string([]byte{h.version()}))
	f.frame(h.append(f.start()))
	for _, r := range s.replicas {
		f.frame(appendReplica(f.start(), r))
	}
	position := make(map[*identity]uint64, len(sessions))
	for i, o := range sessions {
		position[o.identity] = uint64(i)
		f.frame(appendSession(f.start(), o, h.version()))
	}
	s.topics.Scan(func(_ string, t *topic) bool {
		f.frame(appendTopic(f.start(), t, position))
		return f.err == nil
	})
	return f.close()
}

func (s *State) sessionsBySerial() []*session {
	sessions := make([]*session, 0, s.counts.Sessions+s.counts.Orphans)
	s.producers.Scan(func(p *producer) bool {
		sessions = append(sessions, p.sessions...)
		return true
	})
	slices.SortFunc(sessions, func(a, b *session) int { return cmp.Compare(a.serial, b.serial) })
	return sessions
}

func appendReplica(b []byte, r replica) []byte {
	b = appendString(appendString(b, r.id), r.name)
	b = binary.AppendUvarint(binary.AppendUvarint(b, r.incarnation), r.last)
	return appendBool(b, r.lost)
}

func (d *decoder) replica() replica {
	return replica{
		id: keep(d.text(maxID)), name: keep(d.text(maxID)),
		incarnation: d.number(), last: d.number(), lost: d.flag(),
	}
}

func appendSession(b []byte, s *session, version byte) []byte {
	b = binary.AppendUvarint(b, s.serial)
	b = appendString(b, s.key.Replica)
	b = binary.AppendUvarint(binary.AppendUvarint(b, s.key.Incarnation), s.key.Number)
	b = appendInfo(b, s.info)
	b = appendBool(appendBool(appendBool(b, s.active), s.settled), s.orphan)
	if version == leveledVersion {
		b = appendBool(binary.AppendUvarint(b, s.since), s.detached)
	}
	return b
}

func (d *decoder) session(version byte) *session {
	o := &identity{serial: d.number()}
	o.key = SessionKey{Replica: keep(d.text(maxID)), Incarnation: d.number(), Number: d.number()}
	o.info = d.info().clone()
	o.producer = o.info.Producer()
	o.rendered = o.info.render()
	s := &session{identity: o, active: d.flag(), settled: d.flag(), orphan: d.flag()}
	if version == leveledVersion {
		s.since, s.detached = d.number(), d.flag()
	}
	return s
}

func appendTopic(b []byte, t *topic, position map[*identity]uint64) []byte {
	b = binary.AppendUvarint(appendString(b, t.name), t.modified)
	b = appendBool(b, t.registered)
	b = binary.AppendUvarint(b, uint64(len(t.channels)))
	for _, c := range t.channels {
		b = appendString(b, c.name)
	}
	b = binary.AppendUvarint(b, uint64(len(t.holders)))
	for _, h := range t.holders {
		b = binary.AppendUvarint(b, position[h.session])
		b = binary.AppendUvarint(b, uint64(len(h.channels)))
		for _, name := range h.channels {
			i, _ := t.findChannel(name)
			b = binary.AppendUvarint(b, uint64(i))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.tombstones)))
	for _, stone := range t.tombstones {
		b = binary.AppendUvarint(appendProducer(b, stone.producer), stone.id)
	}
	return b
}

// frameWriter writes frames and remembers the first error.
type frameWriter struct {
	w       *bufio.Writer
	buf     []byte
	length  [binary.MaxVarintLen64]byte
	written int64
	err     error
}

// start gives the buffer to put the next frame into.
func (f *frameWriter) start() []byte { return f.buf[:0] }

func (f *frameWriter) frame(b []byte) {
	f.buf = b
	n := binary.PutUvarint(f.length[:], uint64(len(b)))
	f.bytes(f.length[:n])
	f.bytes(b)
}

func (f *frameWriter) raw(s string) { f.bytes([]byte(s)) }

func (f *frameWriter) bytes(b []byte) {
	if f.err != nil {
		return
	}
	n, err := f.w.Write(b)
	f.written += int64(n)
	f.err = err
}

func (f *frameWriter) close() (int64, error) {
	if f.err == nil {
		f.err = f.w.Flush()
	}
	return f.written, f.err
}
