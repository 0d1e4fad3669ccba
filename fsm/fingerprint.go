package fsm

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Fingerprint is a 128-bit hash of the registry's whole content: the sum, modulo 2^128, of the
// hashes of its elements. Equal registries have equal fingerprints, whatever order made them.
type Fingerprint struct{ hi, lo uint64 }

// String returns 32 hex digits.
func (f Fingerprint) String() string {
	b := f.append(make([]byte, 0, 16))
	return hex.EncodeToString(b)
}

// ParseFingerprint reads what String wrote.
func ParseFingerprint(s string) (Fingerprint, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return Fingerprint{}, fmt.Errorf("parse fingerprint %q: want 32 hex digits", s)
	}
	return Fingerprint{hi: binary.BigEndian.Uint64(b), lo: binary.BigEndian.Uint64(b[8:])}, nil
}

func (f Fingerprint) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.hi), f.lo)
}

func (f Fingerprint) plus(o Fingerprint) Fingerprint {
	lo, carry := bits.Add64(f.lo, o.lo, 0)
	hi, _ := bits.Add64(f.hi, o.hi, carry)
	return Fingerprint{hi, lo}
}

func (f Fingerprint) minus(o Fingerprint) Fingerprint {
	lo, borrow := bits.Sub64(f.lo, o.lo, 0)
	hi, _ := bits.Sub64(f.hi, o.hi, borrow)
	return Fingerprint{hi, lo}
}

// The elements that a fingerprint sums up. Each is hashed as its kind, its numbers and its
// length-prefixed strings, so that no two different elements share their bytes.
const (
	elementTopic uint8 = 1 + iota
	elementChannel
	elementSession
	elementTopicRegistration
	elementChannelRegistration
	elementTombstone
	elementReplica
	elementSerial
	elementLevel
)

// hasher makes element hashes without allocating; the zero value is ready.
type hasher struct{ buf []byte }

func (h *hasher) sum() Fingerprint {
	s := xxh3.Hash128(h.buf)
	return Fingerprint{hi: s.Hi, lo: s.Lo}
}

func (h *hasher) start(element uint8) { h.buf = append(h.buf[:0], element) }

func (h *hasher) number(n uint64) { h.buf = binary.AppendUvarint(h.buf, n) }

func (h *hasher) text(s string) { h.buf = appendString(h.buf, s) }

func (h *hasher) flag(f bool) { h.buf = appendBool(h.buf, f) }

func (h *hasher) topic(name string) Fingerprint {
	h.start(elementTopic)
	h.text(name)
	return h.sum()
}

func (h *hasher) channel(topic, name string) Fingerprint {
	h.start(elementChannel)
	h.text(topic)
	h.text(name)
	return h.sum()
}

func (h *hasher) session(s *session) Fingerprint {
	h.start(elementSession)
	h.number(s.serial)
	h.text(s.key.Replica)
	h.number(s.key.Incarnation)
	h.number(s.key.Number)
	h.buf = appendInfo(h.buf, s.info)
	h.flag(s.active)
	h.flag(s.settled)
	h.flag(s.orphan)
	if s.since > 0 { // never at level 0, where hashes are those of release 0.1.0
		h.number(s.since)
		h.flag(s.detached)
	}
	return h.sum()
}

func (h *hasher) topicRegistration(serial uint64, topic string) Fingerprint {
	h.start(elementTopicRegistration)
	h.number(serial)
	h.text(topic)
	return h.sum()
}

func (h *hasher) channelRegistration(serial uint64, topic, channel string) Fingerprint {
	h.start(elementChannelRegistration)
	h.number(serial)
	h.text(topic)
	h.text(channel)
	return h.sum()
}

func (h *hasher) tombstone(topic string, t tombstone) Fingerprint {
	h.start(elementTombstone)
	h.text(topic)
	h.text(t.producer.Address)
	h.number(uint64(int64(t.producer.Port)))
	h.number(t.id)
	return h.sum()
}

func (h *hasher) replica(r replica) Fingerprint {
	h.start(elementReplica)
	h.text(r.id)
	h.text(r.name)
	h.number(r.incarnation)
	h.number(r.last)
	h.flag(r.lost)
	return h.sum()
}

func (h *hasher) serial(n uint64) Fingerprint {
	h.start(elementSerial)
	h.number(n)
	return h.sum()
}

// level returns the hash of the level in force; level 0 has none, as in release 0.1.0.
func (h *hasher) level(n uint64) Fingerprint {
	if n == 0 {
		return Fingerprint{}
	}
	h.start(elementLevel)
	h.number(n)
	return h.sum()
}
