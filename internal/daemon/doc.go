// Package daemon puts a raftlookupd together: the replica (cluster), nsqlookupd's TCP protocol
// (tcpproto) and its HTTP API (httpapi), on listeners of its own. It is the only place where the
// three meet; the program and every test of a whole replica start it the same way.
//
// It decides nothing: what is served is httpapi's and tcpproto's business, what is kept cluster's.
//
// Run owns every goroutine that it starts, and returns when all of them have ended. A process may
// run several daemons.
package daemon
