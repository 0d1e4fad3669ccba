package e2e

import (
	"errors"
	"fmt"
	"os"
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
	shown := history[:at+1]
	if d := new(difference); errors.As(err, &d) {
		shown, err = shrink(w, shown, err, time.Now().Add(shrinkFor))
	}
	t.Errorf("%v\nstep %d of the history; what shows it, as a file for testdata/history:\n%s\nlistings",
		err, at+1, strings.Join(shown, "\n"))
}

// play returns the index of the step that went wrong, if any did. It leaves the registries empty.
func play(w twins, history []string) (at int, err error) {
	p := newPlayer(w)
	for i, line := range history {
		if err := errors.Join(p.step(line), p.listings(names...)); err != nil {
			return i, errors.Join(err, p.finish())
		}
	}
	return len(history) - 1, p.finish()
}

// shrink drops steps, in ever smaller pieces, as long as the rest still shows a difference.
func shrink(w twins, history []string, last error, deadline time.Time) ([]string, error) {
	for size := len(history) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(history); {
			if time.Now().After(deadline) {
				return history, last
			}
			rest := append(append([]string{}, history[:from]...), history[from+size:]...)
			at, err := play(w, rest)
			if d := new(difference); !errors.As(err, &d) || errors.Is(err, errBadStep) {
				from += size
				continue
			}
			history, last = rest[:at+1], err
		}
	}
	return history, last
}
