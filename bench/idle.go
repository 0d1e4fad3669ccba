package bench

import (
	"context"
	"errors"
	"fmt"
)

// idleFigures is what idle connections take.
type idleFigures struct {
	memory  figure // of each connection
	cpu     figure // in percent of one core
	entries figure // that the log has grown by
}

// idle is many nsqds that only PING.
func (b *bench) idle(ctx context.Context) error {
	n := b.connections(b.sizes.idle)
	stock, err := b.oneIdle(ctx, b.nsqlookupd, nsqlookupd, n)
	if err != nil {
		return err
	}
	ours, err := b.oneIdle(ctx, b.replicas(1), raftlookupd, n)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s idle connections with a PING every %v, one replica: ", digits(float64(n)), b.sizes.idlePing)
	during := fmt.Sprintf("over %v", b.sizes.idleFor)
	b.add(row{name: name + "memory (RSS) of each", unit: inBytes, theirs: stock.memory, ours: ours.memory, aim: "at most 1x"})
	b.add(row{name: name + "CPU, of one core", unit: inPercent, theirs: stock.cpu, ours: ours.cpu, aim: "at most 1.2x", limits: during})
	b.add(row{name: name + "log entries", unit: inNumbers, theirs: stock.entries, ours: ours.entries, aim: "0", limits: during})
	return nil
}

func (b *bench) oneIdle(ctx context.Context, start starter, who string, n int) (idleFigures, error) {
	f := idleFigures{figure{who: who}, figure{who: who}, figure{who: who}}
	warm, err := b.stage(ctx, start, min(n, 10), 1)
	if err != nil {
		return f, err
	}
	defer warm.close()
	s := warm.system
	before, err := s.largest()
	if err != nil {
		return f, err
	}
	connected, err := connect(ctx, s, n)
	if err != nil {
		return f, err
	}
	defer connected.close()
	defer s.close() // before the nsqds
	if err := connected.ping(); err != nil {
		return f, err
	}
	ctx, stop := context.WithCancel(ctx)
	pinging := make(chan error, 1)
	go func() {
		pinging <- connected.each(func(_ int, n *nsqd) error { return n.pingOn(ctx, b.sizes.idlePing) })
	}()
	err = b.watchIdle(ctx, s, &f)
	stop()
	if err := errors.Join(err, <-pinging); err != nil {
		return f, err
	}
	after, err := s.largest()
	f.memory.values = []float64{(after.all - before.all) / float64(n)}
	f.memory.note = inBytes.format(after.all) + " in all"
	return f, err
}

// watchIdle measures while nothing but PINGs happens.
func (b *bench) watchIdle(ctx context.Context, s *system, f *idleFigures) error {
	if err := s.level(ctx); err != nil {
		return err
	}
	wait(ctx, b.sizes.settle)
	before, err := applied(ctx, s)
	if err != nil {
		return err
	}
	defer b.profile("idle", s)()
	m, err := startMeter(s.processes()...)
	if err != nil {
		return err
	}
	wait(ctx, b.sizes.idleFor)
	c, err := m.stop()
	if err != nil {
		return err
	}
	after, err := applied(ctx, s)
	f.cpu.values = []float64{100 * c.servers.Seconds() / c.wall.Seconds()}
	f.cpu.cost = c
	if s.who == raftlookupd {
		f.entries.values = []float64{float64(after - before)}
	}
	return err
}

// applied is how far a replica's log is; nsqlookupd has none.
func applied(ctx context.Context, s *system) (uint64, error) {
	if s.who != raftlookupd {
		return 0, nil
	}
	is, err := s.servers[0].status(ctx)
	return is.AppliedIndex, err
}
