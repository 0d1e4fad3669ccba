// Package consistency names what a read may miss. It holds no mechanism: package cluster does what
// the levels promise, package httpapi takes them from requests.
package consistency

import (
	"fmt"
	"strings"
)

// Level says what a read may miss.
type Level uint8

// The levels.
const (
	// Local answers what this replica has applied.
	Local Level = iota
	// Leader answers what the replica had applied that took itself for the leader when it was asked.
	Leader
	// Linearizable answers everything that had been committed when it was asked: after that, a
	// majority has said that there is no later leader.
	Linearizable
)

var names = [...]string{Local: "local", Leader: "leader", Linearizable: "linearizable"}

// String returns the level's name.
func (l Level) String() string {
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// Parse returns the level of that name.
func Parse(name string) (Level, error) {
	for l, is := range names {
		if is == name {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("must be %s, not %q", strings.Join(names[:], ", "), name)
}
