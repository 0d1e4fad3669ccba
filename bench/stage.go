package bench

import (
	"context"
	"fmt"
	"time"
)

// stormPatience is for a storm of any size.
const stormPatience = 10 * time.Minute

// starter starts what is to be measured.
type starter func(context.Context) (*system, error)

func (b *bench) replicas(n int) starter {
	return func(ctx context.Context) (*system, error) { return b.raftlookupd(ctx, n) }
}

// stage is a system and the nsqds that are connected to it.
type stage struct {
	*system
	fleet  fleet
	topics int // that were registered
}

// stage starts a system and connects so many nsqds; for a warm-up each registers so many topics, which stay.
func (b *bench) stage(ctx context.Context, start starter, nsqds, warm int) (*stage, error) {
	s, err := start(ctx)
	if err != nil {
		return nil, err
	}
	f, err := connect(ctx, s, nsqds)
	if err != nil {
		s.close()
		return nil, err
	}
	st := &stage{system: s, fleet: f}
	if err := st.fill(ctx, "warm", warm); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// close kills the servers first: none has to tell the others that the nsqds have left.
func (s *stage) close() {
	s.system.close()
	s.fleet.close()
}

// fill lets each nsqd register so many topics, and waits until all replicas have applied it.
func (s *stage) fill(ctx context.Context, label string, topics int) error {
	if err := s.fleet.register(label, topics); err != nil {
		return err
	}
	s.topics += topics * len(s.fleet)
	return s.await(ctx, s.topics, stormPatience)
}

// storm is fill, measured; answered is when the last nsqd had its OK.
func (s *stage) storm(ctx context.Context, label string, topics int) (c cost, answered time.Duration, err error) {
	s.fleet.forget()
	m, err := startMeter(s.processes()...)
	if err != nil {
		return cost{}, 0, err
	}
	if err := s.fleet.register(label, topics); err != nil {
		return cost{}, 0, err
	}
	answered = time.Since(m.start)
	s.topics += topics * len(s.fleet)
	if err := s.await(ctx, s.topics, stormPatience); err != nil {
		return cost{}, 0, err
	}
	c, err = m.stop()
	return c, answered, err
}

// registrations says in words how many so many REGISTERs of a topic and a channel make.
func registrations(registers int) string { return digits(float64(2*registers)) + " registrations" }

// stormName describes a storm.
func stormName(nsqds, topics int) string {
	return fmt.Sprintf("%s nsqds x %d topics x 1 channel", digits(float64(nsqds)), topics)
}
