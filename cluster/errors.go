package cluster

import (
	"errors"
	"fmt"
)

// Error is an answer that a client gets instead of what it asked for: Message is what it reads.
type Error struct {
	message string
	text    string
}

// Error tells operators what it means.
func (e *Error) Error() string { return e.text }

// Message is the word for clients, as HTTP answers carry it.
func (e *Error) Message() string { return e.message }

// What a replica answers when it cannot do what it is asked.
var (
	ErrNotReady     = &Error{"NOT_READY", "this replica has not caught up since its start"}
	ErrNoLeader     = &Error{"NO_LEADER", "no leader is known"}
	ErrNotCommitted = &Error{"NOT_COMMITTED", "the change was not committed in time; it may be later"}
	ErrNotReached   = &Error{"INDEX_NOT_REACHED", "this replica has not applied that index yet"}
	ErrNotConfirmed = &Error{"NOT_CONFIRMED", "no majority has confirmed in time that the leader leads"}
	ErrOverloaded   = &Error{"OVERLOADED", "too many changes wait to be committed"}
	ErrInvalid      = &Error{"INVALID_ARGUMENT", "a text is longer than the registry takes"}
	ErrTooLarge     = &Error{"TOO_LARGE", "the change is larger than the log takes"}
	ErrClosed       = &Error{"CLOSED", "this replica is stopping"}
	ErrIsolated     = &Error{"ISOLATED", "this replica has heard no leader for too long and takes no nsqds"}
)

// ErrData means that the data path cannot be used; its text says what to do. Nothing in the data
// path was changed.
var ErrData = errors.New("data path")

// What becomes of an operation on the cluster that is not done. A Refusal carries one of them.
var (
	ErrRefused       = errors.New("refused")
	ErrNoSuchReplica = errors.New("no such replica")
	ErrNoAnswer      = errors.New("no answer")
)

// Refusal says why an operation on the cluster was not done, and what to do about it.
type Refusal struct {
	Kind   error // ErrRefused, ErrNoSuchReplica or ErrNoAnswer
	Reason string
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error { return r.Kind }

func refuse(kind error, format string, args ...any) error {
	return &Refusal{kind, fmt.Sprintf(format, args...)}
}
