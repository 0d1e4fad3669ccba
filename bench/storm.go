package bench

import (
	"context"
	"fmt"
	"strings"
)

// stormWarm is how many topics each nsqd registers before, so that the programs are warm.
const stormWarm = 5

// storm is all nsqds registering all they have at once, as they do when a lookupd has come back.
func (b *bench) storm(ctx context.Context) error {
	theirs, ours, alone := &figure{who: nsqlookupd}, &figure{who: raftlookupd}, &figure{who: raftlookupd}
	floor := &figure{who: bareRaft}
	var notes []string
	for range b.sizes.runs {
		for _, m := range []struct {
			start starter
			to    *figure
		}{{b.nsqlookupd, theirs}, {b.replicas(1), alone}, {b.replicas(3), ours}} {
			note, err := b.oneStorm(ctx, m.start, m.to)
			if err != nil {
				return err
			}
			if m.to == ours {
				notes = append(notes, note)
			}
		}
		if err := b.bareStorm(floor); err != nil {
			return err
		}
	}
	name := "storm, " + stormName(b.sizes.nsqds, b.sizes.topics) + ", spread over 3 replicas, until all three have applied it"
	b.add(row{name: name, unit: perSecond, theirs: *theirs, ours: *ours, aim: "at least 1.0x, stretch 1.5x",
		limits: "until all were answered: " + strings.Join(notes, ", ")})
	b.add(row{name: "the same to one replica alone", unit: perSecond, theirs: *theirs, ours: *alone, aim: "–",
		limits: "what is missing to it above is the work of two more replicas on the same processors"})
	b.add(row{name: "the same changes through 3 nodes of bare Raft in entries of 256, until all have applied them", unit: perSecond,
		theirs: *floor, ours: *ours, aim: "–", limits: "bare Raft: one process, no nsqds, no decoding"})
	return nil
}

func (b *bench) oneStorm(ctx context.Context, start starter, to *figure) (note string, err error) {
	st, err := b.stage(ctx, start, b.sizes.nsqds, stormWarm)
	if err != nil {
		return "", err
	}
	defer st.close()
	defer b.profile("storm", st.system)()
	c, answered, err := st.storm(ctx, "storm", b.sizes.topics)
	if err != nil {
		return "", err
	}
	registers := float64(b.sizes.nsqds * b.sizes.topics)
	to.values = append(to.values, registers/c.wall.Seconds())
	to.cost = to.cost.plus(c)
	return fmt.Sprintf("%s (%s)", inSeconds.format(answered.Seconds()), st.fleet.answers()), nil
}
