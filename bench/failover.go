package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// failover is how long clients of three replicas wait when the leader is killed, or stopped as an upgrade does, and how
// long a registration takes to be seen everywhere.
func (b *bench) failover(ctx context.Context) error {
	s, err := b.raftlookupd(ctx, 3)
	if err != nil {
		return err
	}
	defer s.close()
	for _, part := range []func(context.Context, *system) error{b.visibility, b.killed, b.handedOver} {
		if err := part(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// addTrials shows the median of the trials, their 99th percentile and the worst.
func (b *bench) addTrials(name, aim string, took []time.Duration) {
	ours := figure{who: raftlookupd, values: []float64{median(seconds(took))}}
	ours.note = fmt.Sprintf("p99 %s, worst %s of %d", inSeconds.format(percentile(took, 99).Seconds()),
		inSeconds.format(percentile(took, 100).Seconds()), len(took))
	b.add(row{name: name, unit: inSeconds, theirs: figure{who: nsqlookupd}, ours: ours, aim: aim})
}

// changeUntil makes changes at a replica, one after another, until stop says so after one that is committed.
func changeUntil(ctx context.Context, l *lookupd, name string, stop func(begun, done time.Time) bool) error {
	const every = 2 * time.Millisecond
	n := 0
	return until(ctx, every, patience, func(ctx context.Context) error {
		n++
		begun := time.Now()
		if err := l.post(ctx, fmt.Sprintf("/topic/create?topic=%s-%d", name, n)); err != nil {
			return err
		}
		if !stop(begun, time.Now()) {
			return fmt.Errorf("changes at %s go on", l.name)
		}
		return nil
	})
}

// killed is kill -9 of the leader until the next committed change at another replica.
func (b *bench) killed(ctx context.Context, s *system) error {
	var took []time.Duration
	for n := range b.sizes.trials {
		leader, others, err := s.roles(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := leader.cmd.Process.Kill(); err != nil {
			return err
		}
		var end time.Time
		err = changeUntil(ctx, others[n%len(others)], fmt.Sprintf("killed-%d", n), func(_, done time.Time) bool {
			end = done
			return true
		})
		if err != nil {
			return err
		}
		took = append(took, end.Sub(start))
		<-leader.exited
		if err := again(ctx, s, leader); err != nil {
			return err
		}
	}
	b.addTrials("failover: kill -9 of the leader until the next committed change at another replica", "p50 0.8 s, worst 1.2 s", took)
	return nil
}

func again(ctx context.Context, s *system, l *lookupd) error {
	if err := l.start(ctx); err != nil {
		return err
	}
	return s.level(ctx)
}

// handedOver stops the leader by SIGTERM while changes are made at another replica.
func (b *bench) handedOver(ctx context.Context, s *system) error {
	var took, stalls []time.Duration
	for n := range b.sizes.trials {
		leader, others, err := s.roles(ctx)
		if err != nil {
			return err
		}
		h := &handOver{old: leader}
		if err := h.run(ctx, others[n%len(others)], fmt.Sprintf("handed-%d", n)); err != nil {
			return err
		}
		took, stalls = append(took, h.committed.Sub(h.signalled)), append(stalls, h.stall)
		<-leader.exited
		if code := leader.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s: exit code %d: %s", leader.name, code, leader.tail())
		}
		if err := again(ctx, s, leader); err != nil {
			return err
		}
	}
	b.addTrials("planned hand-over: SIGTERM to the leader until the new leader's first change", "150 ms", took)
	b.addTrials("planned hand-over: longest time without a committed change", "150 ms", stalls)
	return nil
}

// handOver is one trial.
type handOver struct {
	old                  *lookupd
	signalled, committed time.Time
	stall                time.Duration
	lost                 atomic.Pointer[time.Time] // when another replica was said to lead
}

func (h *handOver) run(ctx context.Context, at *lookupd, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		h.watch(ctx, at)
	}()
	defer func() {
		cancel()
		<-watched
	}()
	last := time.Now()
	return changeUntil(ctx, at, name, func(begun, done time.Time) bool {
		if h.signalled.IsZero() { // the first one: from here on changes follow each other
			h.signalled = time.Now()
			last = h.signalled
			return h.old.cmd.Process.Signal(syscall.SIGTERM) != nil
		}
		h.stall = max(h.stall, done.Sub(last))
		last, h.committed = done, done
		lost := h.lost.Load()
		return lost != nil && begun.After(*lost)
	})
}

// watch notes when a replica names another leader.
func (h *handOver) watch(ctx context.Context, at *lookupd) {
	for wait(ctx, time.Millisecond) {
		is, err := at.status(ctx)
		if err == nil && is.Leader != "" && is.Leader != h.old.name {
			now := time.Now()
			h.lost.Store(&now)
			return
		}
	}
}

// visibility is the time from a REGISTER at any replica until /lookup of all three shows it, with nothing else going on.
func (b *bench) visibility(ctx context.Context, s *system) error {
	const look = 200 * time.Microsecond
	f, err := connect(ctx, s, len(s.servers))
	if err != nil {
		return err
	}
	defer f.close()
	chance := rand.New(rand.NewPCG(1, 1))
	var took []time.Duration
	for n := range b.sizes.visible {
		if !wait(ctx, 2*pollInterval) {
			return ctx.Err()
		}
		i := chance.IntN(len(f))
		topic := topicOf("visible", n, 0)
		start := time.Now()
		if err := f[i].register(topic, "channel"); err != nil {
			return err
		}
		for _, l := range s.servers {
			if err := until(ctx, look, patience, func(ctx context.Context) error { return shows(ctx, l, topic, i) }); err != nil {
				return err
			}
		}
		took = append(took, time.Since(start))
	}
	b.addTrials("a REGISTER at any of 3 replicas until /lookup of all shows it, idle", "5 ms, p99 30 ms", took)
	return nil
}

func shows(ctx context.Context, l *lookupd, topic string, nsqd int) error {
	body, err := l.request(ctx, "GET", lookupOf(topic))
	if err == nil && !strings.Contains(string(body), fmt.Sprintf("nsqd-%06d", nsqd)) {
		err = fmt.Errorf("%s does not list nsqd %d", l.name, nsqd)
	}
	return err
}
