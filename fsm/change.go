package fsm

// Kind says what a change does. The numbers are part of the log's format: never reuse one.
type Kind uint8

// The kinds of changes. Most are a replica's own, numbered by its journal; ClearTombstone,
// LoseReplica, ExpireReplica, Checkpoint, ExpireOrphans and RaiseLevel are the leader's decisions.
const (
	KindOpenReplica Kind = 1 + iota
	KindOpenSession
	KindRegister
	KindUnregister
	KindSetActive
	KindSettle
	KindCloseSession
	KindCreateTopic
	KindDeleteTopic
	KindCreateChannel
	KindDeleteChannel
	KindTombstone

	KindClearTombstone
	KindLoseReplica
	KindExpireReplica
	KindCheckpoint

	KindPrune // a replica's own again

	KindDetach // a replica's own; this and what follows is of level 1
	KindExpireOrphans
	KindRaiseLevel
)

// MaxLevel is the newest level of kinds that this program knows.
const MaxLevel = 1

// Level returns the level of the kind. A program that knows less stops at the kind, so that it comes
// into the log only when its level is in force: see State.Level. RaiseLevel alone comes before that.
func (k Kind) Level() uint64 {
	if k >= KindDetach {
		return 1
	}
	return 0
}

// Change is one wish to alter the registry. Make it with the functions below; the fields that a
// kind does not use stay zero.
type Change struct {
	Kind        Kind
	Active      bool         // SetActive
	Session     uint64       // number of the OpenSession change
	Topic       string       // name, or AllTopics where that is allowed
	Channel     string       // name, or "" for none
	Name        string       // OpenReplica: the replica's name; Tombstone: the node, address:http_port
	Info        ProducerInfo // OpenSession
	Replica     string       // LoseReplica, ExpireReplica, ExpireOrphans: the replica's id
	Incarnation uint64       // LoseReplica, ExpireReplica, ExpireOrphans
	Producer    ProducerKey  // ClearTombstone
	ID          uint64       // ClearTombstone: the tombstone's id; Checkpoint, ExpireOrphans: an index; RaiseLevel: the level
	Fingerprint Fingerprint  // Checkpoint: the registry's fingerprint at that index
}

// OpenReplica begins a new incarnation of the replica whose batch it is in; it must be that
// incarnation's change number 1. The sessions of earlier incarnations become orphans.
func OpenReplica(name string) Change { return Change{Kind: KindOpenReplica, Name: name} }

// OpenSession begins a session; the session's number is the number of this change.
func OpenSession(info ProducerInfo) Change { return Change{Kind: KindOpenSession, Info: info} }

// Register adds a topic, and a channel of it unless that is "", to what the session has.
func Register(session uint64, topic, channel string) Change {
	return Change{Kind: KindRegister, Session: session, Topic: topic, Channel: channel}
}

// Unregister takes a channel from what the session has, or with no channel the whole topic.
func Unregister(session uint64, topic, channel string) Change {
	return Change{Kind: KindUnregister, Session: session, Topic: topic, Channel: channel}
}

// SetActive says whether the session's nsqd has been heard from lately.
func SetActive(session uint64, active bool) Change {
	return Change{Kind: KindSetActive, Session: session, Active: active}
}

// Settle says that the session's nsqd has registered all that it has.
func Settle(session uint64) Change { return Change{Kind: KindSettle, Session: session} }

// CloseSession ends a session and its registrations.
func CloseSession(session uint64) Change { return Change{Kind: KindCloseSession, Session: session} }

// Detach ends a session's connection without ending the session: it becomes an orphan, because a
// replica may have caused the end. It is encoded as CloseSession is, but for the kind's byte.
func Detach(session uint64) Change { return Change{Kind: KindDetach, Session: session} }

// CreateTopic makes a topic exist without producers.
func CreateTopic(topic string) Change { return Change{Kind: KindCreateTopic, Topic: topic} }

// DeleteTopic removes a topic, its channels and all registrations of them; AllTopics is allowed.
func DeleteTopic(topic string) Change { return Change{Kind: KindDeleteTopic, Topic: topic} }

// CreateChannel makes a channel, and its topic, exist without producers.
func CreateChannel(topic, channel string) Change {
	return Change{Kind: KindCreateChannel, Topic: topic, Channel: channel}
}

// DeleteChannel removes a channel and all registrations of it.
func DeleteChannel(topic, channel string) Change {
	return Change{Kind: KindDeleteChannel, Topic: topic, Channel: channel}
}

// Tombstone hides the producers of the topic whose broadcast_address:http_port is node from
// lookups of that topic; AllTopics is allowed.
func Tombstone(topic, node string) Change {
	return Change{Kind: KindTombstone, Topic: topic, Name: node}
}

// ClearTombstone ends the tombstone with that id.
func ClearTombstone(topic string, producer ProducerKey, id uint64) Change {
	return Change{Kind: KindClearTombstone, Topic: topic, Producer: producer, ID: id}
}

// Prune removes a topic and its channels, but only when no session has a registration of it; otherwise
// nothing happens, and the result is ErrHeld. It takes no AllTopics.
func Prune(topic string) Change { return Change{Kind: KindPrune, Topic: topic} }

// PruneChannel removes a channel, but only when no session has a registration of it, as Prune does.
func PruneChannel(topic, channel string) Change {
	return Change{Kind: KindPrune, Topic: topic, Channel: channel}
}

// LoseReplica says that nothing is heard of a replica: its sessions become orphans.
func LoseReplica(id string, incarnation uint64) Change {
	return Change{Kind: KindLoseReplica, Replica: id, Incarnation: incarnation}
}

// ExpireReplica drops the orphans that a replica left in that incarnation and earlier ones.
func ExpireReplica(id string, incarnation uint64) Change {
	return Change{Kind: KindExpireReplica, Replica: id, Incarnation: incarnation}
}

// ExpireOrphans drops the orphans of that group, and no other.
func ExpireOrphans(g OrphanGroup) Change {
	return Change{Kind: KindExpireOrphans, Replica: g.Replica, Incarnation: g.Incarnation, ID: g.Since}
}

// RaiseLevel puts a level in force, unless that or a higher one is. Every replica has to know the
// level before it is decided, because one that does not stops at the entry.
func RaiseLevel(level uint64) Change { return Change{Kind: KindRaiseLevel, ID: level} }

// Checkpoint states the registry's fingerprint at an index, for every replica to compare.
func Checkpoint(index uint64, fp Fingerprint) Change {
	return Change{Kind: KindCheckpoint, ID: index, Fingerprint: fp}
}

// numbered reports whether a replica's journal carries changes of this kind.
func (k Kind) numbered() bool {
	return k >= KindOpenReplica && k <= KindTombstone || k == KindPrune || k == KindDetach
}
