package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// fill gives a replica 200,000 registrations: 1,000 producers with 100 topics of a channel each.
func fill(b *testing.B, r *Replica) {
	b.Helper()
	for p := range 1000 {
		number, err := r.journal.append(fsm.OpenSession(nsqd(p)), nil)
		if err != nil {
			b.Fatal(err)
		}
		for n := range 100 {
			if _, err := r.journal.append(fsm.Register(number, fmt.Sprintf("topic-%d-%d", p, n), "channel"), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	eventually.True(b, 10*soon, "all registered", func() error {
		if n := r.journal.length(); n > 0 {
			return fmt.Errorf("%d changes wait", n)
		}
		return nil
	})
}

// BenchmarkBackup takes and writes a backup of 200,000 registrations.
func BenchmarkBackup(b *testing.B) {
	r := openReady(b, testConfig(b.TempDir()))
	fill(b, r)
	for b.Loop() {
		_, write, err := r.Backup(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if err := write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(backup(b, r))), "B/file")
}

// BenchmarkRestoreBackup restores 100,000 topics of a channel each: at a follower of three empty
// replicas, and where all of it is there already.
func BenchmarkRestoreBackup(b *testing.B) {
	r := openReady(b, testConfig(b.TempDir()))
	fill(b, r)
	file := backup(b, r)
	mustClose(b, r)
	restore := func(b *testing.B, at *Replica) {
		if _, err := at.RestoreBackup(context.Background(), bytes.NewReader(file), true); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("empty", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c := benchTrio(b)
			at := c.follower()
			b.StartTimer()
			restore(b, at)
			b.StopTimer()
			for i := range c.replicas {
				c.stop(i)
			}
			b.StartTimer()
		}
	})
	b.Run("same", func(b *testing.B) {
		c := benchTrio(b)
		at := c.follower()
		restore(b, at)
		for b.Loop() {
			restore(b, at)
		}
	})
}
