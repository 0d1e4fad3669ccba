package bench

import (
	"context"
	"fmt"
	"time"
)

// register is one nsqd that registers channels of one topic, one by one.
func (b *bench) register(ctx context.Context) error {
	if err := b.registerAnswered(ctx); err != nil {
		return err
	}
	return b.registerCommitted(ctx)
}

func (b *bench) registerAnswered(ctx context.Context) error {
	stock, err := b.nsqlookupd(ctx)
	if err != nil {
		return err
	}
	defer stock.close()
	three, err := b.raftlookupd(ctx, 3)
	if err != nil {
		return err
	}
	defer three.close()
	_, followers, err := three.roles(ctx)
	if err != nil {
		return err
	}
	theirs, ours := figure{who: nsqlookupd}, figure{who: raftlookupd}
	for run := range b.sizes.runs {
		if err := b.registerTo(stock, stock.servers[0], run, b.sizes.channels, &theirs); err != nil {
			return err
		}
		done := b.profile("register", three)
		if err := b.registerTo(three, followers[0], run, b.sizes.channels, &ours); err != nil {
			return err
		}
		done()
		start := time.Now()
		if err := three.await(ctx, 0, patience); err != nil {
			return err
		}
		ours.note = "applied there " + inSeconds.format(time.Since(start).Seconds()) + " after the last OK"
	}
	b.add(row{name: fmt.Sprintf("one nsqd registering %s channels one by one, to a follower of 3", digits(float64(b.sizes.channels))),
		unit: inSeconds, theirs: theirs, ours: ours, aim: "at most 2x",
		limits: fmt.Sprintf("each REGISTER %s and %s", each(theirs, b.sizes.channels), each(ours, b.sizes.channels))})
	return nil
}

func each(f figure, count int) string { return inSeconds.format(median(f.values) / float64(count)) }

// registerCommitted: every REGISTER waits for its commit, as every entry of bare Raft does.
func (b *bench) registerCommitted(ctx context.Context) error {
	bare, err := startBare(b.dir)
	if err != nil {
		return err
	}
	defer bare.close()
	three, err := b.raftlookupd(ctx, 3, "-register-window=0")
	if err != nil {
		return err
	}
	defer three.close()
	leader, followers, err := three.roles(ctx)
	if err != nil {
		return err
	}
	floor, follower, lead := figure{who: bareRaft}, figure{who: raftlookupd}, figure{who: raftlookupd}
	for run := range b.sizes.runs {
		if err := b.commits(bare, &floor); err != nil {
			return err
		}
		done := b.profile("commits", three)
		if err := b.registerTo(three, followers[0], 2*run, b.sizes.commits, &follower); err != nil {
			return err
		}
		done()
		if err := b.registerTo(three, leader, 2*run+1, b.sizes.commits, &lead); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("%s channels one by one with -register-window 0, beside a commit each of bare Raft, ", digits(float64(b.sizes.commits)))
	for _, r := range []row{{name: name + "to a follower of 3", ours: follower}, {name: name + "to the leader", ours: lead}} {
		r.unit, r.theirs, r.aim = inSeconds, floor, "at most 1.3x"
		r.limits = fmt.Sprintf("each %s and %s", each(floor, b.sizes.commits), each(r.ours, b.sizes.commits))
		b.add(r)
	}
	return nil
}

// registerTo registers channels of a topic of its own at one server.
func (b *bench) registerTo(s *system, at *lookupd, run, channels int, to *figure) error {
	n, err := dialNsqd(context.Background(), at.tcp, run)
	if err != nil {
		return err
	}
	defer n.conn.Close()
	topic := topicOf("single", run, 0)
	for i := range max(1, channels/20) { // warm-up
		if err := n.register(topicOf("warm", run, 0), fmt.Sprintf("channel-%d", i)); err != nil {
			return err
		}
	}
	m, err := startMeter(s.processes()...)
	if err != nil {
		return err
	}
	for i := range channels {
		if err := n.register(topic, fmt.Sprintf("channel-%d", i)); err != nil {
			return err
		}
	}
	c, err := m.stop()
	to.values, to.cost = append(to.values, c.wall.Seconds()), to.cost.plus(c)
	return err
}

func (b *bench) commits(bare *bareCluster, to *figure) error {
	entry := make([]byte, 2*bareChange)
	for range max(1, b.sizes.commits/20) { // warm-up
		if err := bare.commit(entry); err != nil {
			return err
		}
	}
	m, err := startMeter()
	if err != nil {
		return err
	}
	for range b.sizes.commits {
		if err := bare.commit(entry); err != nil {
			return err
		}
	}
	c, err := m.stop()
	to.values, to.cost = append(to.values, c.wall.Seconds()), to.cost.plus(c.inside())
	return err
}
