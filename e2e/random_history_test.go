package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRandomHistory plays histories that chance has written, and compares all answers and, after every
// step, all listings. E2E_SEED plays one seed only, E2E_STEPS sets the length.
func TestRandomHistory(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, 2, 3, 4, 5, 6}
	if s, ok := number(t, "E2E_SEED"); ok {
		seeds = []uint64{s}
	}
	steps := uint64(300)
	if n, ok := number(t, "E2E_STEPS"); ok {
		steps = n
	}
	// Tombstones must not end and producers not fall silent in the middle of a history.
	w := startTwins(t, "-log-level", "error", "-tombstone-lifetime", "1h", "-inactive-producer-timeout", "1h")
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			playRandom(t, w, newWriter(seed).history(int(steps)))
		})
	}
}

func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// shrinkFor bounds how long a failing history is shortened.
const shrinkFor = 30 * time.Second

func playRandom(t *testing.T, w twins, history []string) {
	t.Helper()
	at, err := play(w, history)
	if err == nil {
		return
	}
	s := &shrinker{w, history[:at+1], err, time.Now().Add(shrinkFor)}
	if d := new(difference); errors.As(err, &d) {
		s.shrink()
	}
	t.Errorf("%v\nfound at step %d; this history shows it, as a file for testdata/history:\n%s\nlistings",
		s.last, at+1, strings.Join(s.history, "\n"))
}

// play returns the index of the step that went wrong, if any did. It leaves the registries empty.
func play(w twins, history []string) (at int, err error) {
	return playListing(w, history, func(int) bool { return true })
}

// playListing compares all listings after the steps that it is told to.
func playListing(w twins, history []string, after func(at int) bool) (at int, err error) {
	p := newPlayer(w)
	for i, line := range history {
		err := p.step(line)
		if after(i) {
			err = errors.Join(err, p.listings(names...))
		}
		if err != nil {
			return i, errors.Join(err, p.finish())
		}
	}
	return len(history) - 1, p.finish()
}

// shrinker makes a failing history shorter. It compares listings at the end only, to be fast.
type shrinker struct {
	twins
	history  []string
	last     error // what the history shows
	deadline time.Time
}

// shrink drops connections, then steps in ever smaller pieces, as long as the rest still shows a
// difference.
func (s *shrinker) shrink() {
	for i := range producerNames {
		s.try(slices.DeleteFunc(slices.Clone(s.history), func(line string) bool {
			return strings.HasPrefix(line, connName(i)+" ")
		}))
	}
	for size := len(s.history) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(s.history); {
			if !s.try(slices.Concat(s.history[:from], s.history[from+size:])) {
				from += size
			}
		}
	}
}

// try takes the shorter history if it will do.
func (s *shrinker) try(shorter []string) bool {
	if time.Now().After(s.deadline) {
		return false
	}
	at, err := playListing(s.twins, shorter, func(at int) bool { return at == len(shorter)-1 })
	if d := new(difference); !errors.As(err, &d) || errors.Is(err, errBadStep) {
		return false
	}
	s.history, s.last = shorter[:at+1], err
	return true
}
