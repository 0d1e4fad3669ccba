// Package cluster is a replica's part in the cluster: it keeps Raft's log and snapshots under the
// data path, brings the changes of this replica's clients into the log in order and exactly once,
// applies the log to the registry (package fsm), and takes the leader's decisions about what is
// over: tombstones, and the orphans of replicas that are gone.
//
// It does not speak to clients: package tcpproto gives it the nsqds' sessions and httpapi the HTTP
// changes and reads, each through a few methods of Replica.
//
// A Replica starts its goroutines in Open, and Close waits for them; Raft's own end with it. What
// goes wrong beyond repair is told on Failed: the caller closes the replica and ends.
//
// What it promises:
//   - A change that a client was told OK for is in the queue of the journal, and stays there until
//     this replica's own registry has applied it. If the process dies before, so does the client's
//     connection, and the nsqd registers again.
//   - Each change is applied once and in order, whatever is sent again.
//   - A read waits for this replica's own pending changes, for 250 ms at most, and for nothing else.
//   - What a read may miss is measured by what this replica has applied, never by heartbeats alone.
//   - A session is closed only when no replica can have caused the end of its connection; else it is
//     detached, and stays listed for the grace.
//   - A data path that is not the newest history of its id neither votes nor acknowledges anything where
//     another replica knows the newer one.
//   - Nothing is written to a data path that is not this replica's or that cannot be trusted.
//   - Silence of an nsqd or a replica is measured on this process's own monotonic clock, and does
//     not grow while the process is paused.
package cluster
