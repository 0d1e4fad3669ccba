package bench

import (
	"context"
	"fmt"
)

// memory is what a filled registry and its connections take, once things are quiet.
func (b *bench) memory(ctx context.Context) error {
	one, three, stock := figure{who: raftlookupd}, figure{who: raftlookupd}, figure{who: nsqlookupd}
	for range b.sizes.runs {
		for _, m := range []struct {
			start starter
			to    *figure
		}{{b.nsqlookupd, &stock}, {b.replicas(1), &one}, {b.replicas(3), &three}} {
			if err := b.oneMemory(ctx, m.start, m.to); err != nil {
				return err
			}
		}
	}
	name := fmt.Sprintf("memory (RSS) at %s and %s connections, ", registrations(b.sizes.nsqds*b.sizes.topics), digits(float64(b.sizes.nsqds)))
	b.add(row{name: name + "one replica", unit: inBytes, theirs: stock, ours: one, aim: "at most 1x"})
	b.add(row{name: name + "the largest of 3 with a third of them each", unit: inBytes, theirs: stock, ours: three, aim: "at most 1x"})
	return nil
}

func (b *bench) oneMemory(ctx context.Context, start starter, to *figure) error {
	st, err := b.filled(ctx, start)
	if err != nil {
		return err
	}
	defer st.close()
	wait(ctx, b.sizes.settle)
	largest, err := st.largest()
	if err != nil {
		return err
	}
	to.values = append(to.values, largest.all)
	to.note = inBytes.format(largest.file) + " of it mapped files"
	return nil
}

// largest is the memory of the process that has most.
func (s *system) largest() (resident, error) {
	var most resident
	for _, p := range s.processes() {
		r, err := p.resident()
		if err != nil {
			return r, err
		}
		if r.all > most.all {
			most = r
		}
	}
	return most, nil
}
