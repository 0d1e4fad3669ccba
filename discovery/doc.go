// Package discovery tells a consumer of NSQ where the nsqds of a topic are, within milliseconds of
// their registration: it follows GET /watch of a raftlookupd replica instead of polling /lookup every
// minute. It takes another replica when that one fails, and polls where nobody has /watch: then it does
// for a stock nsqlookupd what a consumer does itself.
//
// It is not its job to consume: an nsq.Consumer of go-nsq (v1.1.0) is told to connect and to
// disconnect, and is otherwise left alone. It needs no part of go-nsq, and imports none.
//
// Goroutines: Run has one that follows the replicas, and one for each ConnectToNSQD under way, 64 at
// most; it awaits them all.
//
// What it promises:
//
//   - The consumer is told to connect to each producer that a replica lists, at once, and again every
//     few seconds: so a connection that was lost comes back.
//   - It is told to disconnect only from what replicas that answer have not listed for Linger, counted
//     anew whenever they do not answer. Neither the restart of a replica, nor the loss of all of
//     them, nor an nsqd that registers again cuts it off.
//   - The consumer is never called twice at once for one address.
//   - An answer may have 16 MiB, about 60,000 producers; more is an error, and never kept.
package discovery
