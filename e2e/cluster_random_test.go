package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestClusterRandomHistory plays random histories whose connections and requests go to any of three replicas. Every
// replica must list what the one nsqlookupd lists.
func TestClusterRandomHistory(t *testing.T) {
	t.Parallel()
	seeds := []uint64{11, 12}
	if s, ok := number(t, "E2E_SEED"); ok {
		seeds = []uint64{s}
	}
	steps := uint64(150)
	if n, ok := number(t, "E2E_STEPS"); ok {
		steps = n
	}
	args := []string{"-log-level", "error", "-tombstone-lifetime", "1h", "-inactive-producer-timeout", "1h"}
	c := newCluster(t, 3, args...)
	oracle := startNsqlookupd(t, args...)
	for _, seed := range seeds {
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := &spread{c, newPlayer(twins{oracle, c.replicas[0].lookupd}), rand.New(rand.NewPCG(seed, 1))}
			if done, err := s.play(newWriter(seed).history(int(steps))); err != nil {
				t.Errorf("%v\nafter\n%s", err, strings.Join(done, "\n"))
			}
		})
		if !ok {
			return
		}
	}
}

// spread plays a history with a replica of its own choice for each step.
type spread struct {
	c *cluster
	*player
	*rand.Rand
}

// play returns what it has done, each step with its replica.
func (s *spread) play(history []string) (done []string, err error) {
	const all = 10 // after so many steps every replica is asked; else one
	for i, line := range history {
		// A replica that has not heard of an earlier change would order this one before it.
		if err := poll(patience, s.level); err != nil {
			return done, err
		}
		at := s.choose()
		done = append(done, line+"   # "+at)
		err := s.step(line)
		if err == nil && i%all == 0 {
			err = s.compareAll()
		} else if err == nil {
			err = errors.Join(poll(patience, s.level), s.compareOne())
		}
		if err != nil {
			return done, errors.Join(err, s.finish())
		}
	}
	if err := s.compareAll(); err != nil {
		return done, errors.Join(err, s.finish())
	}
	return done, s.finish()
}

func (s *spread) level() error {
	_, err := s.c.caughtUp()
	return err
}

// choose returns the name of the replica at which the next step is done.
func (s *spread) choose() string {
	r := s.c.replicas[s.IntN(len(s.c.replicas))]
	s.ours = r.lookupd
	return r.name
}

func (s *spread) compareOne() error {
	at := s.choose()
	if err := s.listings(names...); err != nil {
		return fmt.Errorf("at %s: %w", at, err)
	}
	return nil
}

func (s *spread) compareAll() error {
	if err := poll(clusterPatience, s.c.agreed); err != nil {
		return err
	}
	for _, r := range s.c.replicas {
		s.ours = r.lookupd
		if err := s.listings(names...); err != nil {
			return fmt.Errorf("at %s: %w", r.name, err)
		}
	}
	return nil
}
