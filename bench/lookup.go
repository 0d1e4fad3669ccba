package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// lookupCase is a registry, and what is looked up in it.
type lookupCase struct {
	name     string
	nsqds    int
	topics   int                           // that there are in the end, beside the warm-up's
	register func(f fleet) error           // what makes them
	request  func(client, n int) string    // one of many
	example  string                        // one of them, for the constant answer
	unit     unit                          // perSecond: requests; bytesPerSecond: of bodies
	aims     struct{ stock, floor string } // beside nsqlookupd, and beside the constant answer
}

const sharedTopics = 3

func (b *bench) lookupCases() []lookupCase {
	size := b.sizes
	shared := func(topics int) func(fleet) error {
		return func(f fleet) error {
			return f.each(func(_ int, n *nsqd) error {
				for t := range topics {
					if err := n.register(topicOf("shared", 0, t), "channel"); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	one := lookupOf(topicOf("shared", 0, 0))
	producers := b.connections(size.producers)
	few := lookupCase{name: "/lookup, 3 topics", nsqds: sharedTopics, topics: sharedTopics, register: shared(sharedTopics),
		request: func(_, n int) string { return lookupOf(topicOf("shared", 0, n%sharedTopics)) }, example: one, unit: perSecond}
	few.aims.stock, few.aims.floor = "at least 1.2x", "at least 0.9x"
	many := lookupCase{name: fmt.Sprintf("/lookup, %s topics", digits(float64(size.nsqds*size.topics))), nsqds: size.nsqds,
		topics: size.nsqds * size.topics, register: func(f fleet) error { return f.register("storm", size.topics) },
		request: func(int, int) string { return lookupOf(topicOf("storm", rand.N(size.nsqds), rand.N(size.topics))) },
		example: lookupOf(topicOf("storm", 0, 0)), unit: perSecond}
	many.aims.stock, many.aims.floor = "at least 100x", "at least 0.9x"
	wide := lookupCase{name: fmt.Sprintf("/lookup, 1 topic with %s producers", digits(float64(producers))), nsqds: producers,
		topics: 1, register: shared(1), request: always(one), example: one, unit: bytesPerSecond}
	wide.aims.stock, wide.aims.floor = "at least 100x", "at least 0.9x"
	return []lookupCase{few, many, wide}
}

func lookupOf(topic string) string { return "/lookup?topic=" + topic }

// lookup is what consumers ask.
func (b *bench) lookup(ctx context.Context) error {
	for _, c := range b.lookupCases() {
		theirs, err := b.lookupStock(ctx, c)
		if err != nil {
			return err
		}
		if err := b.lookupOurs(ctx, c, theirs); err != nil {
			return err
		}
	}
	return nil
}

// lookupStage starts a system with the case's registry.
func (b *bench) lookupStage(ctx context.Context, c lookupCase, start starter) (*stage, error) {
	st, err := b.stage(ctx, start, c.nsqds, 0)
	if err != nil {
		return nil, err
	}
	st.topics += c.topics
	if err = c.register(st.fleet); err == nil {
		err = st.fleet.ping()
	}
	if err == nil {
		err = st.await(ctx, st.topics, stormPatience)
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

func (b *bench) lookupStock(ctx context.Context, c lookupCase) (figure, error) {
	f := figure{who: nsqlookupd}
	st, err := b.lookupStage(ctx, c, b.nsqlookupd)
	if err != nil {
		return f, err
	}
	defer st.close()
	for range b.sizes.runs {
		if err := b.ask(ctx, st.system, c.request, c.unit, &f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (b *bench) lookupOurs(ctx context.Context, c lookupCase, theirs figure) error {
	st, err := b.lookupStage(ctx, c, b.replicas(1))
	if err != nil {
		return err
	}
	defer st.close()
	floor, err := b.startConstant(ctx, st.servers[0], c.example)
	if err != nil {
		return err
	}
	defer floor.close()
	ours, whole, body := figure{who: raftlookupd}, figure{who: constant}, figure{who: constant}
	defer b.profile("lookup", st.system)()
	for range b.sizes.runs {
		if err := b.ask(ctx, st.system, c.request, c.unit, &ours); err != nil {
			return err
		}
		if err := b.ask(ctx, floor, always(wholePath), c.unit, &whole); err != nil {
			return err
		}
		if err := b.ask(ctx, floor, always(bodyPath), c.unit, &body); err != nil {
			return err
		}
	}
	b.add(row{name: c.name, unit: c.unit, theirs: theirs, ours: ours, aim: c.aims.stock})
	b.add(row{name: c.name + ", beside a constant answer of the same bytes", unit: c.unit, theirs: whole, ours: ours, aim: c.aims.floor,
		limits: "without the headers that only raftlookupd has: " + body.format(c.unit)})
	return nil
}

// ask asks for a while, after a warm-up.
func (b *bench) ask(ctx context.Context, s *system, request func(client, n int) string, u unit, to *figure) error {
	l := httpLoad{clients: b.sizes.clients, request: request}
	for _, server := range s.servers {
		l.addresses = append(l.addresses, server.http)
	}
	if _, err := l.runFor(ctx, b.sizes.load/10); err != nil {
		return err
	}
	m, err := startMeter(s.processes()...)
	if err != nil {
		return err
	}
	a, err := l.runFor(ctx, b.sizes.load)
	if err != nil {
		return err
	}
	c, err := m.stop()
	to.cost = to.cost.plus(c)
	switch u {
	case bytesPerSecond:
		to.values = append(to.values, float64(a.bytes)/a.wall.Seconds())
	default:
		to.values = append(to.values, a.rate())
	}
	if a.refused > 0 {
		return fmt.Errorf("%s: %d of %d were not answered 200", s.who, a.refused, a.count)
	}
	return err
}
