package bench

import (
	"context"
	"fmt"
)

// grown is what is measured at one size.
type grown struct {
	storm, lookup, memory float64
	pause                 pauses
	cost                  cost
}

// growth does the same at two sizes: what is linear, what is flat. Three replicas, and one run each.
func (b *bench) growth(ctx context.Context) error {
	factor := b.sizes.grown
	small := b.sizes.nsqds
	large := b.connections(small * factor)
	var all [2][2]grown // nsqlookupd and raftlookupd, small and large
	for i, start := range []starter{b.nsqlookupd, b.replicas(3)} {
		for j, nsqds := range []int{small, large} {
			var err error
			if all[i][j], err = b.oneGrowth(ctx, start, nsqds, j == 1 || !b.quick); err != nil {
				return err
			}
		}
	}
	b.growthRows(all, small, large)
	return nil
}

func (b *bench) growthRows(all [2][2]grown, small, large int) {
	name := fmt.Sprintf("growth to %s and %s connections (3 replicas) from %s and %s: ", registrations(large*b.sizes.topics),
		digits(float64(large)), registrations(small*b.sizes.topics), digits(float64(small)))
	for _, r := range []struct {
		what, aim string
		unit      unit
		of        func(grown) float64
		cost      bool
	}{
		{"storm until all have applied it", "linear", inSeconds, func(g grown) float64 { return g.storm }, true},
		{"/lookup, one client, p50", "flat", inSeconds, func(g grown) float64 { return g.lookup }, false},
		{"memory (RSS) of the largest", "linear", inBytes, func(g grown) float64 { return g.memory }, false},
	} {
		line := row{name: name + r.what, unit: r.unit, aim: r.aim,
			theirs: grownFigure(nsqlookupd, all[0], r.unit, r.of), ours: grownFigure(raftlookupd, all[1], r.unit, r.of)}
		if r.cost {
			line.theirs.cost, line.ours.cost = all[0][1].cost, all[1][1].cost
		}
		b.add(line)
	}
	ours := grownFigure(raftlookupd, all[1], inSeconds, func(g grown) float64 { return g.pause.during.Seconds() })
	b.add(row{name: name + "longest time without a commit while the leader takes a snapshot", unit: inSeconds, theirs: figure{who: nsqlookupd},
		ours: ours, aim: "flat, under 10 ms", limits: all[1][1].pause.String()})
}

// grownFigure shows the large size, and how it came of the small one.
func grownFigure(who string, sizes [2]grown, u unit, of func(grown) float64) figure {
	small, large := of(sizes[0]), of(sizes[1])
	f := figure{who: who, values: []float64{large}}
	if small > 0 {
		f.note = fmt.Sprintf("%sx, from %s", digits(large/small), u.format(small))
	}
	return f
}

func (b *bench) oneGrowth(ctx context.Context, start starter, nsqds int, pause bool) (g grown, err error) {
	st, err := b.stage(ctx, start, nsqds, 1)
	if err != nil {
		return g, err
	}
	defer st.close()
	done := b.profile(fmt.Sprintf("growth-%d", nsqds), st.system)
	if g.cost, _, err = st.storm(ctx, "storm", b.sizes.topics); err != nil {
		return g, err
	}
	done()
	g.storm = g.cost.wall.Seconds()
	if err := st.fleet.ping(); err != nil {
		return g, err
	}
	if err := st.level(ctx); err != nil {
		return g, err
	}
	l := httpLoad{addresses: []string{st.servers[0].http}, clients: 1,
		request: func(_, n int) string { return lookupOf(topicOf("storm", n%nsqds, n%b.sizes.topics)) }}
	a, err := l.runFor(ctx, b.sizes.load)
	if err != nil {
		return g, err
	}
	g.lookup = percentile(a.took, 50).Seconds()
	wait(ctx, b.sizes.settle)
	largest, err := st.largest()
	if err != nil {
		return g, err
	}
	g.memory = largest.all
	if pause && st.who == raftlookupd {
		g.pause, err = b.snapshotPause(ctx, st)
	}
	return g, err
}
