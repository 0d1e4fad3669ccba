// Package bench runs the real nsqlookupd and the real raftlookupd in turn on one machine, under a load that behaves as
// nsqds and their consumers do, and prints one table of both.
//
// It is not its job to judge: the aims stand in the table beside what was measured. Nor does it look inside a program; the
// packages have benchmarks of their own for that.
//
// Each subject (storm.go, register.go, lookup.go and so on) starts the programs it needs, measures, and ends them again.
// Main owns all goroutines and processes, and returns when they have ended.
package bench
