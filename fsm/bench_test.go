package fsm

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// storm returns the entries, batches of 256 changes, with which producers register topics of one
// channel each; shared says whether all producers have the same topics.
func storm(producers, topics int, shared bool) [][]byte {
	var entries [][]byte
	var pending []byte
	number, first, count := uint64(1), uint64(1), 0
	flush := func() {
		h := Header{Replica: "replica", Incarnation: 1, First: first}
		entries = append(entries, h.AppendEntry(nil, count, pending))
		pending, first, count = pending[:0], number, 0
	}
	add := func(c Change) {
		pending = AppendChange(pending, c)
		number++
		count++
		if count == 256 {
			flush()
		}
	}
	add(OpenReplica("r1"))
	sessions := make([]uint64, producers)
	for p := range producers {
		sessions[p] = number
		add(OpenSession(ProducerInfo{RemoteAddress: fmt.Sprintf("10.0.0.1:%d", p), Hostname: "host",
			BroadcastAddress: fmt.Sprintf("host-%d", p), TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}))
	}
	for t := range topics {
		for p := range producers {
			name := fmt.Sprintf("topic-%d-%d", p, t)
			if shared {
				name = fmt.Sprintf("topic-%d", t)
			}
			add(Register(sessions[p], name, "channel"))
		}
	}
	flush()
	return entries
}

func applyAll(tb testing.TB, entries [][]byte) *Registry {
	tb.Helper()
	r := New()
	for i, e := range entries {
		o, err := r.Apply(uint64(i+1), e)
		if err != nil || o.Err != nil || o.Results != nil {
			tb.Fatal(err, o.Err, o.Results)
		}
	}
	return r
}

// BenchmarkApplyRegister applies REGISTERs of 1,000 producers x 100 topics x 1 channel in batches
// of 256; a registration is a topic or a channel of a session.
func BenchmarkApplyRegister(b *testing.B) {
	for _, shared := range []bool{false, true} {
		b.Run(fmt.Sprintf("shared=%v", shared), func(b *testing.B) {
			entries := storm(1000, 100, shared)
			var before, after runtime.MemStats
			var r *Registry
			var size uint64
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				r = applyAll(b, entries)
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				size = after.HeapAlloc - before.HeapAlloc
				b.StartTimer()
			}
			runtime.KeepAlive(r)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200_000, "ns/registration")
			b.ReportMetric(float64(size)/200_000, "B/registration")
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	r := applyAll(b, storm(1000, 100, false))
	b.Run("take", func(b *testing.B) {
		for b.Loop() {
			r.State()
		}
	})
	b.Run("write", func(b *testing.B) {
		var n int64
		for b.Loop() {
			n, _ = r.State().WriteTo(io.Discard)
		}
		b.SetBytes(n)
	})
}

func BenchmarkNodesCold(b *testing.B) {
	r := applyAll(b, storm(1000, 100, false))
	for b.Loop() {
		r.State().allNodes.body.Store(nil)
		r.State().Nodes()
	}
}

func BenchmarkTopicsCold(b *testing.B) {
	r := applyAll(b, storm(1000, 100, false))
	for b.Loop() {
		r.State().allTopics.body.Store(nil)
		r.State().Topics()
	}
}

func BenchmarkLookup(b *testing.B) {
	r := applyAll(b, storm(1000, 100, false))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.State().Lookup("topic-500-50"); !ok {
			b.Fatal("no such topic")
		}
	}
}

// BenchmarkApplyOne applies entries of a single REGISTER that changes an existing topic of many
// producers: what copying the topic costs.
func BenchmarkApplyOne(b *testing.B) {
	r := applyAll(b, storm(1000, 10, true))
	index, number := r.State().Index(), r.State().replicas[0].last
	channels := []string{"a", "b"}
	var worst time.Duration
	for i := 0; b.Loop(); i++ {
		index++
		number++
		c := Register(2, "topic-1", channels[i%2])
		if i%4 > 1 {
			c.Kind = KindUnregister
		}
		h := Header{Replica: "replica", Incarnation: 1, First: number}
		start := time.Now()
		if _, err := r.Apply(index, h.AppendEntry(nil, 1, AppendChange(nil, c))); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(start))
	}
	b.ReportMetric(float64(worst.Microseconds()), "worst-us")
}
