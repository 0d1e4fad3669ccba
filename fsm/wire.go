package fsm

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The scalars of the log's and the snapshot's format, writer beside reader. Numbers are unsigned
// varints, signed ones go through zigzag; strings have their length in front.

// decoder reads a string of such scalars. After the first failure every read gives zero, and end
// tells.
type decoder struct {
	rest   string
	failed bool
}

func (d *decoder) fail() { d.failed, d.rest = true, "" }

// end reports a failure, or bytes that nobody read.
func (d *decoder) end() error {
	if d.failed {
		return fmt.Errorf("%w: cut short or out of bounds", errMalformed)
	}
	if d.rest != "" {
		return fmt.Errorf("%w: %d bytes left over", errMalformed, len(d.rest))
	}
	return nil
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) number() uint64 {
	var n uint64
	for shift := uint(0); shift < 64; shift += 7 {
		b := d.byte()
		if shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	d.fail()
	return 0
}

func appendSigned(b []byte, n int) []byte { return binary.AppendVarint(b, int64(n)) }

func (d *decoder) signed() int {
	u := d.number()
	return int(int64(u>>1) ^ -int64(u&1))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func (d *decoder) flag() bool {
	b := d.byte()
	if b > 1 {
		d.fail()
	}
	return b == 1
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// text reads a string of at most limit bytes; it shares the decoder's memory.
func (d *decoder) text(limit int) string {
	n := d.number()
	if n > uint64(limit) || n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func appendProducer(b []byte, k ProducerKey) []byte {
	return appendSigned(appendString(b, k.Address), k.Port)
}

func (d *decoder) producer() ProducerKey {
	return ProducerKey{Address: d.text(maxText), Port: d.signed()}
}

func appendInfo(b []byte, i ProducerInfo) []byte {
	b = appendString(b, i.RemoteAddress)
	b = appendString(b, i.Hostname)
	b = appendString(b, i.BroadcastAddress)
	b = appendSigned(b, i.TCPPort)
	b = appendSigned(b, i.HTTPPort)
	b = appendString(b, i.Version)
	b = appendString(b, i.TopologyZone)
	return appendString(b, i.TopologyRegion)
}

func (d *decoder) info() ProducerInfo {
	return ProducerInfo{
		RemoteAddress:    d.text(maxText),
		Hostname:         d.text(maxText),
		BroadcastAddress: d.text(maxText),
		TCPPort:          d.signed(),
		HTTPPort:         d.signed(),
		Version:          d.text(maxText),
		TopologyZone:     d.text(maxText),
		TopologyRegion:   d.text(maxText),
	}
}

func (d *decoder) fingerprint() Fingerprint {
	if len(d.rest) < 16 {
		d.fail()
		return Fingerprint{}
	}
	raw := []byte(d.rest[:16])
	d.rest = d.rest[16:]
	return Fingerprint{hi: binary.BigEndian.Uint64(raw), lo: binary.BigEndian.Uint64(raw[8:])}
}

// keep returns a copy of s that shares no memory with the entry that it came in.
func keep(s string) string { return strings.Clone(s) }
