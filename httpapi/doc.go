// Package httpapi serves nsqlookupd's HTTP API and what raftlookupd adds to it: health, the
// cluster's status and fingerprint.
//
// It turns requests into reads of an fsm.State and into fsm.Changes, and results into the bytes
// that nsqlookupd would send. It knows neither Raft nor the journal, holds no part of the
// registry, and decides nothing about consistency: all of that is behind Replica, which this
// package declares and its user implements. Opening the listener is not its job either.
//
// Every route stands in one table (Routes), with its method, its path, its Kind and a sentence
// for the documentation.
//
// Goroutines: New starts none. Serve accepts in the goroutine that calls it and has one goroutine
// for each connection, owned by the Server; Close ends and awaits them all, also those of
// connections that have not sent a byte.
//
// What it promises:
//
//   - For a path of nsqlookupd, status, headers and body are nsqlookupd's (v1.3.0); the few
//     differences are listed in DESIGN.md.
//   - /lookup, /topics, /channels and /nodes write the state's bytes as they are, without
//     rendering, copying or allocating.
//   - A connection holds a bounded amount of memory and, whatever its client does or does not
//     do, a bounded time: see Config.
//   - A panic in a handler ends that request, and nothing else.
package httpapi
