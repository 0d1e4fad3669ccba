package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func benchConfig(dir string) Config {
	return Config{
		Name: "r1", DataPath: dir, Version: "0.0.0", RegisterWindow: 256,
		CommitTimeout: 5 * time.Second, ReplicaGrace: time.Minute, IsolationTimeout: time.Minute,
		RaftTimeout: 300 * time.Millisecond, InactiveTimeout: 5 * time.Minute, DeadAfter: time.Hour,
		Network:         Network{Gossip: GossipConfig{Bind: "127.0.0.1:0", Advertise: "127.0.0.1"}, ClusterAdvertise: "127.0.0.1"},
		BootstrapExpect: 1, Logger: slog.New(slog.DiscardHandler),
	}
}

func benchOpen(b *testing.B, dir string) *Replica {
	b.Helper()
	r, err := openListening(benchConfig(dir))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.journal.wait(ctx, 1); err != nil {
		b.Fatal(err)
	}
	return r
}

// benchStorm registers 1,000 producers x 100 topics x 1 channel, from as many goroutines as nsqds,
// and waits until all of it is applied.
func benchStorm(b *testing.B, r *Replica) {
	b.Helper()
	var wg sync.WaitGroup
	for p := range 1000 {
		wg.Go(func() {
			s, err := r.OpenSession(fsm.ProducerInfo{RemoteAddress: fmt.Sprintf("10.0.0.1:%d", p),
				BroadcastAddress: fmt.Sprintf("host-%d", p), TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}, func() {})
			if err != nil {
				b.Error(err)
				return
			}
			for t := range 100 {
				if pending, err := s.Register(fmt.Sprintf("topic-%d-%d", p, t), "channel"); pending || err != nil {
					b.Error(pending, err)
					return
				}
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.journal.wait(ctx, r.journal.acked.Load()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStorm is 100,000 REGISTERs through the journal, Raft and the disk of one replica.
func BenchmarkStorm(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r := benchOpen(b, b.TempDir())
		b.StartTimer()
		benchStorm(b, r)
		b.StopTimer()
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "REGISTER/s")
}

// BenchmarkRestart is the time from Open until the replica has caught up, with 200,000
// registrations that are in the log only, and with the same in a snapshot.
func BenchmarkRestart(b *testing.B) {
	for _, snapshot := range []bool{false, true} {
		b.Run(fmt.Sprintf("snapshot=%v", snapshot), func(b *testing.B) {
			dir := b.TempDir()
			r := benchOpen(b, dir)
			benchStorm(b, r)
			if snapshot {
				if err := r.raft.Snapshot().Error(); err != nil {
					b.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r := benchOpen(b, dir)
				b.StopTimer()
				if n := r.registry.State().Counts().Topics; n != 100_000 {
					b.Fatalf("%d topics", n)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkRegisterCommitted is one nsqd's REGISTER with no window: a commit each.
func BenchmarkRegisterCommitted(b *testing.B) {
	cfg := benchConfig(b.TempDir())
	cfg.RegisterWindow = 0
	r, err := openListening(cfg)
	if err != nil {
		b.Fatal(err)
	}
	waitReady(b, r)
	s, err := r.OpenSession(fsm.ProducerInfo{BroadcastAddress: "h", TCPPort: 1, HTTPPort: 2, Version: "1"}, func() {})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if pending, err := s.Register("topic", fmt.Sprintf("channel-%d", i%1000)); pending || err != nil {
			b.Fatal(pending, err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkJournal appends changes, cuts them into batches and takes them out as applied.
func BenchmarkJournal(b *testing.B) {
	j := newJournal("id", 1)
	c := fsm.Register(7, "topic-007", "channel")
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		if _, err := j.append(c, nil); err != nil {
			b.Fatal(err)
		}
		if n%maxBatchChanges == 0 {
			if _, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); !ok {
				b.Fatal("no batch")
			}
			j.observe(n, ok)
		}
	}
}
