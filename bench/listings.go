package bench

import (
	"context"
	"fmt"
)

// coldTrials is how many changes are each followed by one /nodes.
const coldTrials = 10

// listings are what nsqadmin and other tools ask of a large registry.
func (b *bench) listings(ctx context.Context) error {
	size := b.sizes
	paths := []string{"/topics", "/channels?topic=" + topicOf("storm", size.nsqds/2, size.topics/2), "/nodes"}
	stock, err := b.filled(ctx, b.nsqlookupd)
	if err != nil {
		return err
	}
	defer stock.close()
	ours, err := b.filled(ctx, b.replicas(1))
	if err != nil {
		return err
	}
	defer ours.close()
	name := " at " + registrations(size.nsqds*size.topics)
	for i, what := range []string{"/topics", "/channels", "/nodes"} {
		slow, clients := what == "/nodes", b.sizes.clients
		if slow { // there: tens of seconds, so it is asked once
			clients = 1
		}
		theirs, err := b.list(ctx, stock, paths[i], clients, slow)
		if err != nil {
			return err
		}
		done := b.profile("listings", ours.system)
		mine, err := b.list(ctx, ours, paths[i], clients, false)
		if err != nil {
			return err
		}
		done()
		b.add(row{name: fmt.Sprintf("%s%s, %s", what, name, count(clients, "client")), unit: perSecond, theirs: theirs, ours: mine, aim: "at least 100x"})
		if slow {
			if err := b.cold(ctx, ours, what+name+", cold: the first after a change", theirs); err != nil {
				return err
			}
		}
	}
	return nil
}

// count says how many there are of what.
func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// filled is a system with what a storm registers.
func (b *bench) filled(ctx context.Context, start starter) (*stage, error) {
	st, err := b.stage(ctx, start, b.sizes.nsqds, 0)
	if err != nil {
		return nil, err
	}
	if err = st.fill(ctx, "storm", b.sizes.topics); err == nil {
		err = st.fleet.ping()
	}
	if err == nil {
		err = st.level(ctx)
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// list has so many clients ask for one thing for a while, or once.
func (b *bench) list(ctx context.Context, st *stage, path string, clients int, once bool) (figure, error) {
	f := figure{who: st.who}
	l := httpLoad{addresses: []string{st.servers[0].http}, clients: clients, request: always(path)}
	runs, d := b.sizes.runs, b.sizes.load/2
	if once {
		runs, d = 1, 0
	}
	for range runs {
		m, err := startMeter(st.processes()...)
		if err != nil {
			return f, err
		}
		a, err := l.runFor(ctx, d)
		if err != nil {
			return f, err
		}
		if a.refused > 0 {
			return f, fmt.Errorf("%s: %s: %d answers were not 200", st.who, path, a.refused)
		}
		c, err := m.stop()
		if err != nil {
			return f, err
		}
		f.values, f.cost = append(f.values, a.rate()), f.cost.plus(c)
		f.note = inBytes.format(float64(a.bytes)/float64(a.count)) + " each"
	}
	return f, nil
}

// cold times /nodes when what it shows has just changed, so that nobody has the answer ready.
func (b *bench) cold(ctx context.Context, st *stage, name string, stock figure) error {
	theirs, ours := figure{who: stock.who}, figure{who: st.who}
	for _, rate := range stock.values {
		theirs.values = append(theirs.values, 1/rate)
	}
	l := httpLoad{addresses: []string{st.servers[0].http}, clients: 1, request: always("/nodes")}
	for i := range coldTrials {
		if err := st.fleet[i%len(st.fleet)].register(topicOf("cold", i, 0), "channel"); err != nil {
			return err
		}
		st.topics++
		if err := st.await(ctx, st.topics, patience); err != nil {
			return err
		}
		a, err := l.runFor(ctx, 0)
		if err != nil {
			return err
		}
		ours.values = append(ours.values, a.took[0].Seconds())
	}
	b.add(row{name: name, unit: inSeconds, theirs: theirs, ours: ours, aim: "under 20 ms",
		limits: fmt.Sprintf("%d changes; nsqlookupd keeps no answer, so there it is the row above", coldTrials)})
	return nil
}
