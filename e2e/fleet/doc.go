// Package fleet runs replicas of raftlookupd and nsqds in a netlab, each in a node of its own, with the ports and times
// that they have without flags.
//
// It watches what every replica answers to /lookup (Watch), and takes the time until something holds (Until). It judges
// nothing: its callers do. A fleet owns no goroutine; a Watcher owns one per replica until Stop.
package fleet
