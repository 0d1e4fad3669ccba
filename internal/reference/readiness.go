package reference

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// unready says what to do about each reason for which /readyz answers 503.
func unready() map[string]string {
	return map[string]string{
		"has not caught up since its start":        "wait: it is looking for its cluster, or getting the log; waiting_for in /cluster/status says what is missing",
		"is not part of its cluster any more":      "it was removed, or is about to leave: let it leave (lookupctl leave), then join, or stop it",
		"has heard no leader for %s":               "for -isolation-timeout; see who is alive, and whether the cluster port of the others can be reached",
		"has not caught up with the leader for %s": "for -isolation-timeout, though it hears it; see its log, its disk, and whether it can reach the leader's cluster port",
		"its registry differs from the leader's":   "stop it, move its data path away, start it again; keep the data path and report it",
		"is stopping":                              "nothing; Raft has ended",
	}
}

// unreadyRows are rows of a reason, in the order of the code, and what to do.
func unreadyRows(src *source) ([][]string, error) {
	ready := src.function("isReady")
	if ready == nil {
		return nil, fmt.Errorf("%s has no function isReady", src.dir)
	}
	var rows [][]string
	var problems []error
	advice := unready()
	for _, reason := range texts(ready.Body) {
		if reason == "" {
			continue
		}
		if advice[reason] == "" {
			problems = append(problems, fmt.Errorf("say in unready() what to do when a replica %q", reason))
		}
		rows = append(rows, []string{strings.ReplaceAll(reason, "%s", "…"), advice[reason]})
		delete(advice, reason)
	}
	for reason := range advice {
		problems = append(problems, fmt.Errorf("%q is in unready(), but not in Ready", reason))
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return rows, errors.Join(problems...)
}
