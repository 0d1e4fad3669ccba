package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// fleet is many nsqds, each with a connection of its own.
type fleet []*nsqd

// connect connects so many, spread over the servers.
func connect(ctx context.Context, s *system, n int) (fleet, error) {
	const dialling = 64 // at once: listen queues are short
	f := make(fleet, n)
	err := atOnce(dialling, func(worker int) error {
		for i := worker; i < n; i += dialling {
			var err error
			if f[i], err = dialNsqd(ctx, s.at(i).tcp, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// atOnce runs so many goroutines and returns an error of one of them.
func atOnce(n int, do func(i int) error) error {
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := do(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs // nil when there is none
}

func (f fleet) each(do func(i int, n *nsqd) error) error {
	return atOnce(len(f), func(i int) error { return do(i, f[i]) })
}

// close hangs up. It is cheapest when the servers have ended before.
func (f fleet) close() {
	for _, n := range f {
		if n != nil {
			n.conn.Close()
		}
	}
}

// topicOf names a topic, in the same length for all.
func topicOf(label string, nsqd, topic int) string {
	return fmt.Sprintf("%s-%06d-%04d", label, nsqd, topic)
}

// register lets each nsqd register so many topics of one channel each, all at once.
func (f fleet) register(label string, topics int) error {
	return f.each(func(i int, n *nsqd) error {
		for t := range topics {
			if err := n.register(topicOf(label, i, t), "channel"); err != nil {
				return err
			}
		}
		return nil
	})
}

// ping says for each that it has registered all it has, as nsqds do.
func (f fleet) ping() error {
	return f.each(func(_ int, n *nsqd) error { return n.ping() })
}

// slowest is the slowest answer, and pending how many were E_PENDING.
func (f fleet) slowest() (slowest time.Duration, pending int) {
	for _, n := range f {
		slowest = max(slowest, n.slowest)
		pending += n.pending
	}
	return slowest, pending
}

// registered is how many commands were answered. Nobody may be sending any.
func (f fleet) registered() int {
	var all int
	for _, n := range f {
		all += n.done
	}
	return all
}

// forget begins to count anew.
func (f fleet) forget() {
	for _, n := range f {
		n.slowest, n.done, n.pending = 0, 0, 0
	}
}

// answers says in words how clients fared.
func (f fleet) answers() string {
	slowest, pending := f.slowest()
	text := "slowest answer " + inSeconds.format(slowest.Seconds())
	if pending > 0 {
		text += fmt.Sprintf(", %d E_PENDING", pending)
	}
	return text
}
