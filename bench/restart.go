package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// restart is the time from the start of a replica that has much on disk until it serves it. nsqlookupd starts empty.
func (b *bench) restart(ctx context.Context) error {
	for i, registers := range b.sizes.restarts {
		ours := figure{who: raftlookupd}
		snapshots, err := b.restartWith(ctx, registers, &ours)
		if err != nil {
			return err
		}
		b.add(row{name: "restart with " + registrations(registers) + ", one replica, until ready", unit: inSeconds,
			theirs: figure{who: nsqlookupd, note: "starts empty"}, ours: ours, aim: []string{"1 s", "8 s"}[i],
			limits: fmt.Sprintf("an election (up to 0.6 s) is part of it; snapshots on disk: %d", snapshots)})
	}
	return nil
}

func (b *bench) restartWith(ctx context.Context, registers int, to *figure) (snapshots int, err error) {
	st, err := b.stage(ctx, b.replicas(1), b.sizes.nsqds, 0)
	if err != nil {
		return 0, err
	}
	defer st.close()
	if err := st.fill(ctx, "storm", registers/b.sizes.nsqds); err != nil {
		return 0, err
	}
	if err := st.fleet.ping(); err != nil {
		return 0, err
	}
	replica := st.servers[0]
	for range b.sizes.runs {
		if err := replica.stop(); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := replica.start(ctx); err != nil {
			return 0, err
		}
		if err := until(ctx, pollInterval, patience, replica.serves); err != nil {
			return 0, err
		}
		to.values = append(to.values, time.Since(start).Seconds())
		if err := st.has(ctx, st.topics); err != nil { // ready means that all of it is there
			return 0, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(st.dir, replica.name, "snapshots"))
	return len(entries), err
}
