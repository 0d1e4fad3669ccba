package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Readers ask one after another like consumers do, and pause in between, so that they do not take the processors from the
// storm.
const (
	readers     = 16
	readerPause = 10 * time.Millisecond
)

// loaded is what readers of one program waited, each value that of a run.
type loaded struct {
	p99       figure
	p50       []float64
	worst     []float64
	refused   int       // not answered 200
	rates     []float64 // of the storm beside it
	abandoned bool      // the storm did not end in time
}

// underLoad is what consumers wait for while all nsqds register at once. nsqlookupd's readers hold up its writers so much
// that such a storm would take hours there; what readers see is the same long before, so neither gets more time than
// underLoadFor.
func (b *bench) underLoad(ctx context.Context) error {
	theirs, ours := &loaded{p99: figure{who: nsqlookupd}}, &loaded{p99: figure{who: raftlookupd}}
	for range b.sizes.runs {
		if err := b.oneUnderLoad(ctx, b.nsqlookupd, theirs); err != nil {
			return err
		}
		if err := b.oneUnderLoad(ctx, b.replicas(3), ours); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("/lookup by %d clients while the storm runs (3 replicas), ", readers)
	b.add(row{name: name + "p99", unit: inSeconds, theirs: theirs.p99, ours: ours.p99, aim: "at most 3x",
		limits: fmt.Sprintf("nsqlookupd %v; raftlookupd %v", theirs, ours)})
	b.add(row{name: name + "REGISTERs beside it", unit: perSecond, theirs: figure{who: nsqlookupd, values: theirs.rates, note: theirs.end()},
		ours: figure{who: raftlookupd, values: ours.rates, note: ours.end()}, aim: "–"})
	return nil
}

// String says what the p99 leaves out.
func (l *loaded) String() string {
	text := fmt.Sprintf("p50 %s, worst %s", inSeconds.format(median(l.p50)), inSeconds.format(median(l.worst)))
	if l.refused > 0 {
		text += fmt.Sprintf(", %d not answered 200", l.refused)
	}
	return text
}

func (l *loaded) end() string {
	if l.abandoned {
		return "not all, it was given up"
	}
	return ""
}

func (b *bench) oneUnderLoad(ctx context.Context, start starter, to *loaded) error {
	st, err := b.stage(ctx, start, b.sizes.nsqds, stormWarm)
	if err != nil {
		return err
	}
	defer st.close()
	stop := b.startReaders(ctx, st)
	done := b.profile("underload", st.system)
	began := time.Now()
	stormed := make(chan error, 1)
	var used cost
	go func() {
		var err error
		used, _, err = st.storm(ctx, "storm", b.sizes.topics)
		stormed <- err
	}()
	timeout := time.NewTimer(b.sizes.underLoad)
	defer timeout.Stop()
	select {
	case err = <-stormed:
	case <-timeout.C:
		to.abandoned = true
	}
	took := time.Since(began)
	a, readErr := stop()
	done()
	if to.abandoned {
		st.close()
		<-stormed // an error, since the servers are gone
	}
	if err := errors.Join(err, readErr); err != nil {
		return err
	}
	to.p99.values = append(to.p99.values, percentile(a.took, 99).Seconds())
	to.p99.cost = to.p99.cost.plus(used)
	to.p50 = append(to.p50, percentile(a.took, 50).Seconds())
	to.worst = append(to.worst, percentile(a.took, 100).Seconds())
	to.rates = append(to.rates, float64(st.fleet.registered())/took.Seconds())
	to.refused += a.refused
	return nil
}

// startReaders asks for topics of the warm-up at all servers until the returned function is called.
func (b *bench) startReaders(ctx context.Context, st *stage) (stop func() (*answered, error)) {
	l := httpLoad{clients: readers, every: readerPause, request: func(client, n int) string {
		return lookupOf(topicOf("warm", (client*31+n)%b.sizes.nsqds, 0))
	}}
	for _, server := range st.servers {
		l.addresses = append(l.addresses, server.http)
	}
	ctx, cancel := context.WithCancel(ctx)
	var a *answered
	done := make(chan error, 1)
	go func() {
		var err error
		a, err = l.run(ctx)
		done <- err
	}()
	return func() (*answered, error) {
		cancel()
		err := <-done
		return a, err
	}
}
