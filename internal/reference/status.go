package reference

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// statusMeanings explains the fields of /cluster/status. Those of the second addresses are the first's.
func statusMeanings() map[string]string {
	return map[string]string{
		"name":            "this replica's name",
		"id":              "its id, made with the data path and kept in it",
		"version":         "of raftlookupd",
		"cluster_id":      "the cluster that it is part of; empty before it is part of any",
		"role":            "leader, voter, reader, or none while it is part of no cluster",
		"reader":          "it was started with -reader, not to vote",
		"leader":          "name of the leader; empty when none is known",
		"term":            "Raft's term; it grows with each election",
		"ready":           "as /readyz answers",
		"reason":          "why it is not ready; empty when it is",
		"waiting_for":     "what it waits for before it can be part of a cluster; empty when it is, or wants to be in none",
		"commit_index":    "newest entry of the log that this replica knows to be committed",
		"applied_index":   "newest entry that its registry has applied; it should follow commit_index at once",
		"last_contact_ms": "milliseconds since it was last known to have applied what the leader had committed; 0 on the leader, -1 when it never was",
		"incarnation":     "number of this life of the replica; it grows at each start",
		"divergences":     "checkpoints of the leader that its registry did not match since it started; anything but 0 is a fault",
		"addresses":       "where this replica can be reached, each host:port",

		"addresses.tcp":     "nsqlookupd's TCP protocol, for nsqds",
		"addresses.http":    "this API",
		"addresses.cluster": "Raft and calls between replicas",
		"addresses.gossip":  "membership, TCP and UDP; what -join and /cluster/join take",

		"registry":             "what this replica's registry holds",
		"registry.index":       "entry of the log that last changed it; replicas with the same one have the same fingerprint",
		"registry.fingerprint": "hash of the whole content, 32 hex digits",
		"registry.topics":      "how many topics",
		"registry.channels":    "how many channels, of all topics",
		"registry.producers":   "how many nsqds, however many connections each has",
		"registry.sessions":    "how many connections of nsqds to any replica, without orphans",
		"registry.orphans":     "how many sessions of lost or restarted replicas that still speak for their nsqds, for -replica-grace at most",
		"registry.tombstones":  "how many times a producer is hidden from a topic",
		"registry.pending":     "how many changes of this replica are not applied; it falls back to 0 within milliseconds, or a majority is missing",
		"registry.log_level":   "the level of log kinds in force: it rises when every replica of the Raft configuration knows a higher one",

		"members":                 "the replicas as this one sees them, by name",
		"members[].name":          "its name",
		"members[].id":            "its id",
		"members[].role":          "leader, voter, reader, or none when it is not in the Raft configuration (yet, or any more)",
		"members[].alive":         "gossip hears it, or it was heard over the cluster port in the last ten seconds",
		"members[].health":        "healthy; does not answer, gone, not seen, not in gossip; of the one that is asked also why it is not ready",
		"members[].applied_index": "newest entry that it has applied; 0 when it does not answer",
		"members[].lag":           "entries behind the newest that is known; 0 also when it does not answer",
		"members[].version":       "of its raftlookupd",
		"members[].log_level":     "the level of log kinds that it knows; 0 for release 0.1.0",
		"members[].gone_ms":       "milliseconds since gossip calls it dead; 0 when it lives",
		"members[].leaving":       "it is leaving, or has left and waits to be told to join",
		"members[].addresses":     "as `addresses` above; empty when they are not known",
	}
}

// statusRows are rows of a field's path, its type and its meaning, in the order of the answer.
func statusRows(src *source) ([][]string, error) {
	meanings := statusMeanings()
	expanded := map[string]bool{}
	var rows [][]string
	var problems []error
	var add func(name, prefix string)
	add = func(name, prefix string) {
		d, err := src.document(name)
		if err != nil {
			problems = append(problems, err)
			return
		}
		for _, f := range d.fields {
			path := prefix + f.name
			if meanings[path] == "" {
				problems = append(problems, fmt.Errorf("say in statusMeanings() what %s of /cluster/status means", path))
			}
			own := f.kind == strings.ToUpper(f.kind[:1])+f.kind[1:] // the types of answers are exported
			kind := f.kind
			if own {
				kind = "object"
			}
			if f.list {
				kind = "list of " + kind + "s"
			}
			rows = append(rows, []string{code(path), kind, meanings[path]})
			delete(meanings, path)
			if own && !expanded[f.kind] {
				expanded[f.kind] = true
				add(f.kind, strings.TrimSuffix(path+map[bool]string{true: "[]"}[f.list], ".")+".")
			}
		}
	}
	add("Status", "")
	for _, path := range slices.Sorted(maps.Keys(meanings)) {
		problems = append(problems, fmt.Errorf("%s is in statusMeanings(), but not in %s", path, src.dir))
	}
	return rows, errors.Join(problems...)
}
