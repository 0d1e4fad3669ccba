// Package fsm is the registry: topics, channels, sessions, producers and tombstones, as the
// entries of the log make them. Change says what can be wished for, AppendEntry and
// EncodeDecisions put changes into an entry, Registry.Stage applies it and Publish shows it (Apply
// is both), State answers, and
// State.WriteTo and Registry.Restore carry the whole of it through a snapshot.
//
// It is not its job to know the time, the network, the disk or Raft, to decide when an nsqd is
// silent, a tombstone old or a replica lost, to check names for a client (ValidName helps those
// who do), or to number, queue and repeat a journal's changes. All of that is decided outside and
// comes in as an entry. Nothing here logs: what somebody has to hear of is an Event.
//
// Goroutines: it starts none. Stage, Publish, Apply and Restore belong to one goroutine at a time. State, Watch,
// Waiter.Stop and FingerprintAt may be called by any, at any time, and a State may be kept and
// read by as many as like. No method waits for another goroutine, but for locks that are held
// for the search of a ring or the waking of waiters; WriteTo and Restore wait for their writer or
// reader.
//
// What it promises:
//
//   - Same entries, same registry: fingerprint, snapshot and listings are the same byte for byte
//     on every replica at one index, and the outcomes and events too (but Diverged, which depends
//     on how far back a replica remembers), whether a replica applied every entry or was restored
//     on the way.
//   - A State never changes, and shows an entry whole or not at all.
//   - A session ends, and what it has goes, only by the word of its nsqd, because another session speaks
//     for its producer, or at a leader's decision of exactly those orphans. A detached session stays
//     listed until then, whatever becomes of its replica.
//   - At level 0 of kinds everything is as in release 0.1.0, byte for byte.
//   - Each change of a journal is applied once and in order, however often it is delivered. What
//     is refused changes nothing but the index.
//   - No bytes, as an entry or as a snapshot, make it panic or allocate far more than their size.
//     Stage and Apply fail only with ErrCorrupt or ErrTooNew, Restore with these or its reader's error, and
//     then the registry is as it was.
//   - Whoever watches a thing and then reads the state misses no change of it.
package fsm
