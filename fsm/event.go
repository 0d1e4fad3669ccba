package fsm

// EventKind says what happened in an entry that somebody outside has to know.
type EventKind uint8

// The kinds of events.
const (
	TombstoneSet   EventKind = 1 + iota // ID, Topic, Producer
	TombstoneGone                       // ID, Topic, Producer
	SessionDropped                      // Session: ended though its replica did not close it
	ReplicaOpened                       // Replica, Incarnation
	ReplicaLost                         // Replica, Incarnation
	ReplicaFound                        // Replica, Incarnation
	Diverged                            // ID is an index; Have differs from what the leader had, Want
	LevelRaised                         // ID is the level that is in force now
)

// Event is something that happened in an entry.
type Event struct {
	Kind        EventKind
	ID          uint64
	Topic       string
	Producer    ProducerKey
	Session     SessionKey
	Replica     string
	Incarnation uint64
	Have, Want  Fingerprint
}

func (r *Registry) event(e Event) { r.outcome.Events = append(r.outcome.Events, e) }
