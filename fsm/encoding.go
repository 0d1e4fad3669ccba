package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The form of a log entry:
//
//	version byte | origin byte | body | CRC-32C of all before it, 4 bytes big-endian
//
// An origin is a journal (body: replica id, incarnation, first number, count, changes) or a
// leader's decisions (body: count, changes). Numbers are unsigned varints, strings have their
// length in front. A change is its kind's byte and the fields that the kind uses.
const (
	formatVersion   = 1
	originJournal   = 1
	originDecisions = 2
	entryOverhead   = 2 + crcLength
	crcLength       = 4
)

// Limits of what an entry may hold; whoever proposes checks them before, so that an entry over
// them is malformed.
const (
	MaxBatch = 4096     // changes in an entry
	maxText  = 64 << 10 // bytes of a text that an nsqd or an HTTP client chose
	maxID    = 255      // bytes of a replica's id or name
	// MaxEntryBytes is the longest entry. It has room for any one change.
	MaxEntryBytes = 512 << 10
)

var (
	// ErrTooNew means that an entry or a snapshot was written by a newer version: this replica
	// must stop rather than skip what the others apply.
	ErrTooNew = errors.New("written by a newer version of raftlookupd: upgrade this replica")
	// ErrCorrupt means that an entry or a snapshot is not what was written.
	ErrCorrupt = errors.New("corrupt data")
	// errMalformed means that an entry is whole but makes no sense. It is refused as a whole, by
	// every replica alike.
	errMalformed = errors.New("malformed entry")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says whose changes a journal's entry carries.
type Header struct {
	Replica     string // the replica's id
	Incarnation uint64
	First       uint64 // number of the first change
}

// AppendEntry appends to b the entry that carries changes encoded with AppendChange.
// count is how many they are.
func (h Header) AppendEntry(b []byte, count int, changes []byte) []byte {
	start := len(b)
	b = append(b, formatVersion, originJournal)
	b = appendString(b, h.Replica)
	b = binary.AppendUvarint(b, h.Incarnation)
	b = binary.AppendUvarint(b, h.First)
	b = binary.AppendUvarint(b, uint64(count))
	b = append(b, changes...)
	return appendCRC(b, start)
}

// EncodeDecisions returns the entry that carries a leader's decisions.
func EncodeDecisions(changes ...Change) []byte {
	b := []byte{formatVersion, originDecisions}
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for _, c := range changes {
		b = AppendChange(b, c)
	}
	return appendCRC(b, 0)
}

func appendCRC(b []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// CheckEntry says whether the bytes are those of an entry as it was written: nil, ErrCorrupt or
// ErrTooNew. It does not look at the changes.
func CheckEntry(data []byte) error {
	if len(data) < entryOverhead {
		return fmt.Errorf("%w: entry of %d bytes", ErrCorrupt, len(data))
	}
	body, sum := data[:len(data)-crcLength], data[len(data)-crcLength:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return fmt.Errorf("%w: entry's checksum does not match", ErrCorrupt)
	}
	if body[0] != formatVersion || body[1] != originJournal && body[1] != originDecisions {
		return fmt.Errorf("entry of version %d, origin %d: %w", body[0], body[1], ErrTooNew)
	}
	return nil
}

// entry is a decoded log entry. Its strings share the memory of one copy of the entry: clone
// whatever the registry keeps.
type entry struct {
	header   Header
	decision bool
	changes  []Change
	level    uint64 // that must be in force before the entry
}

// decode fills e from data, reusing e's memory.
func (e *entry) decode(data []byte) error {
	e.changes, e.level = e.changes[:0], 0
	d, count, err := e.begin(data)
	if err != nil {
		return err
	}
	for range count {
		c, err := d.change()
		if err == nil {
			err = e.admits(c.Kind)
		}
		if err != nil {
			return err
		}
		if c.Kind != KindRaiseLevel {
			e.level = max(e.level, c.Kind.Level())
		}
		e.changes = append(e.changes, c)
	}
	return d.end()
}

// begin reads what comes before an entry's changes, and how many they are.
func (e *entry) begin(data []byte) (d decoder, count uint64, err error) {
	if err := CheckEntry(data); err != nil {
		return d, 0, err
	}
	e.decision = data[1] == originDecisions
	e.header = Header{}
	if len(data) > MaxEntryBytes {
		return d, 0, fmt.Errorf("%w: %d bytes", errMalformed, len(data))
	}
	d = decoder{rest: string(data[2 : len(data)-crcLength])}
	if !e.decision {
		e.header = Header{Replica: d.text(maxID), Incarnation: d.number(), First: d.number()}
	}
	if count = d.number(); count > MaxBatch {
		return d, 0, fmt.Errorf("%w: %d changes", errMalformed, count)
	}
	return d, count, nil
}

// admits returns an error for a decision in a journal's entry, and for a journal's change elsewhere.
func (e *entry) admits(k Kind) error {
	if k.numbered() == e.decision {
		return fmt.Errorf("%w: change of kind %d in the wrong kind of entry", errMalformed, k)
	}
	return nil
}

// EntryLevel returns the highest level of the kinds in an entry. A leader brings the entry into the log
// only when that level is in force. RaiseLevel counts too: older programs do not know it.
func EntryLevel(data []byte) (level uint64, err error) {
	var e entry
	d, count, err := e.begin(data)
	if err != nil {
		return 0, err
	}
	for range count {
		c, err := d.change()
		if err == nil {
			err = e.admits(c.Kind)
		}
		if err != nil {
			return 0, err
		}
		level = max(level, c.Kind.Level())
	}
	return level, d.end()
}

// AppendChange appends the encoding of c to b.
func AppendChange(b []byte, c Change) []byte {
	b = append(b, byte(c.Kind))
	switch c.Kind {
	case KindOpenReplica:
		return appendString(b, c.Name)
	case KindOpenSession:
		return appendInfo(b, c.Info)
	case KindRegister, KindUnregister:
		b = binary.AppendUvarint(b, c.Session)
		return appendString(appendString(b, c.Topic), c.Channel)
	case KindSetActive:
		return appendBool(binary.AppendUvarint(b, c.Session), c.Active)
	case KindSettle, KindCloseSession, KindDetach:
		return binary.AppendUvarint(b, c.Session)
	case KindCreateTopic, KindDeleteTopic:
		return appendString(b, c.Topic)
	case KindCreateChannel, KindDeleteChannel, KindPrune:
		return appendString(appendString(b, c.Topic), c.Channel)
	case KindTombstone:
		return appendString(appendString(b, c.Topic), c.Name)
	case KindClearTombstone:
		b = appendProducer(appendString(b, c.Topic), c.Producer)
		return binary.AppendUvarint(b, c.ID)
	case KindLoseReplica, KindExpireReplica:
		return binary.AppendUvarint(appendString(b, c.Replica), c.Incarnation)
	case KindExpireOrphans:
		b = binary.AppendUvarint(appendString(b, c.Replica), c.Incarnation)
		return binary.AppendUvarint(b, c.ID)
	case KindRaiseLevel:
		return binary.AppendUvarint(b, c.ID)
	case KindCheckpoint:
		return c.Fingerprint.append(binary.AppendUvarint(b, c.ID))
	}
	return b
}

// CheckBatch says whether an entry that somebody else made may be brought into the log: it must be a
// journal's, whole, and all of it understood here. It returns whose it is.
func CheckBatch(data []byte) (Header, error) {
	var e entry
	if err := e.decode(data); err != nil {
		return Header{}, err
	}
	if e.decision {
		return Header{}, fmt.Errorf("%w: decisions are the leader's own", errMalformed)
	}
	return e.header, nil
}

// CheckChange says whether an encoded change is one that entries may carry. Whoever proposes
// checks: an entry with a change that is not would be refused as a whole, however often it came.
func CheckChange(encoded []byte) error {
	d := decoder{rest: string(encoded)}
	if _, err := d.change(); err != nil {
		return err
	}
	return d.end()
}

// change reads what AppendChange wrote.
func (d *decoder) change() (Change, error) {
	c := Change{Kind: Kind(d.byte())}
	switch c.Kind {
	case KindOpenReplica:
		c.Name = d.text(maxID)
	case KindOpenSession:
		c.Info = d.info()
	case KindRegister, KindUnregister:
		c.Session = d.number()
		c.Topic, c.Channel = d.text(MaxNameLength), d.text(MaxNameLength)
	case KindSetActive:
		c.Session, c.Active = d.number(), d.flag()
	case KindSettle, KindCloseSession, KindDetach:
		c.Session = d.number()
	case KindCreateTopic, KindDeleteTopic:
		c.Topic = d.text(MaxNameLength)
	case KindCreateChannel, KindDeleteChannel, KindPrune:
		c.Topic, c.Channel = d.text(MaxNameLength), d.text(MaxNameLength)
	case KindTombstone:
		c.Topic, c.Name = d.text(MaxNameLength), d.text(maxText)
	case KindClearTombstone:
		c.Topic, c.Producer, c.ID = d.text(MaxNameLength), d.producer(), d.number()
	case KindLoseReplica, KindExpireReplica:
		c.Replica, c.Incarnation = d.text(maxID), d.number()
	case KindExpireOrphans:
		c.Replica, c.Incarnation, c.ID = d.text(maxID), d.number(), d.number()
	case KindRaiseLevel:
		if c.ID = d.number(); c.ID > MaxLevel {
			return c, fmt.Errorf("kinds of level %d: %w", c.ID, ErrTooNew)
		}
	case KindCheckpoint:
		c.ID, c.Fingerprint = d.number(), d.fingerprint()
	default:
		if d.failed {
			return c, d.end()
		}
		return c, fmt.Errorf("change of kind %d: %w", c.Kind, ErrTooNew)
	}
	return c, nil
}
