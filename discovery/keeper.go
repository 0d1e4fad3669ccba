package discovery

import (
	"context"
	"errors"
	"time"
)

const (
	// maxConnecting is how many connections are made at once: an nsqd that hangs holds one of them up
	// for the consumer's ReadTimeout.
	maxConnecting = 64
	// A connection that could not be made is tried again after firstRetry, and after twice as long each
	// time, up to lastRetry.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// view is what is known of the topic's producers at some moment.
type view struct {
	producers []string // addresses, host:port
	// complete says that a producer which is not listed is not there. Else nothing is known of those.
	complete bool
}

// producer is one address that the consumer is, or shall be, connected to.
type producer struct {
	missing    time.Time // since when complete views have not listed it; zero while they do
	queued     bool      // it waits to be connected
	connecting bool      // ConnectToNSQD is under way
	failed     bool      // the last attempt did
	wait       time.Duration
	next       time.Time // not before
}

// outcome is what became of a ConnectToNSQD.
type outcome struct {
	address string
	err     error
}

// keeper keeps a consumer connected to what the views list. All of it belongs to the goroutine of run.
type keeper struct {
	d          *Discovery
	consumer   Consumer
	producers  map[string]*producer
	queue      []string // addresses to connect to
	connecting int
	outcomes   chan outcome
	retry      *time.Timer
	retryAt    time.Time // zero when nothing is to be tried again
}

func newKeeper(d *Discovery, consumer Consumer) *keeper {
	return &keeper{d: d, consumer: consumer, producers: make(map[string]*producer), outcomes: make(chan outcome)}
}

// run goes on until ctx ends and no connection is being made any more.
func (k *keeper) run(ctx context.Context, views <-chan view) {
	k.retry = time.NewTimer(0)
	defer k.retry.Stop()
	for {
		k.connect()
		select {
		case v := <-views:
			k.see(v, time.Now())
		case o := <-k.outcomes:
			k.connected(o, time.Now())
		case <-k.retry.C:
			k.retryAll(time.Now())
		case <-ctx.Done():
			for ; k.connecting > 0; k.connecting-- {
				<-k.outcomes
			}
			return
		}
	}
}

// see takes a view: whoever is listed is connected, again too, for a connection may have been lost
// without anybody saying so; whoever has been missing for too long is disconnected.
func (k *keeper) see(v view, now time.Time) {
	listed := make(map[string]bool, len(v.producers))
	for _, address := range v.producers {
		listed[address] = true
		p := k.producers[address]
		if p == nil || !p.missing.IsZero() && !p.connecting && !p.queued {
			p = &producer{} // one that comes back has failed before for reasons of its own
			k.producers[address] = p
		}
		p.missing = time.Time{}
		if !now.Before(p.next) {
			k.enqueue(address, p)
		}
	}
	for address, p := range k.producers {
		switch {
		case listed[address]:
		case !v.complete:
			p.missing = time.Time{}
		case p.missing.IsZero():
			p.missing = now
		case now.Sub(p.missing) >= k.d.cfg.Linger && !p.connecting:
			k.disconnect(address)
		}
	}
}

func (k *keeper) enqueue(address string, p *producer) {
	if !p.queued && !p.connecting {
		p.queued = true
		k.queue = append(k.queue, address)
	}
}

// disconnect is only for an address that no connection is made to: go-nsq would look at that connection
// while it is made.
func (k *keeper) disconnect(address string) {
	delete(k.producers, address)
	if err := k.consumer.DisconnectFromNSQD(address); err != nil {
		k.d.log.Debug("cannot disconnect from nsqd", "nsqd", address, "error", err)
		return
	}
	k.d.log.Info("disconnected from nsqd: it is gone", "nsqd", address)
}

// connect begins as many connections as it may.
func (k *keeper) connect() {
	for k.connecting < maxConnecting && len(k.queue) > 0 {
		address := k.queue[0]
		k.queue = k.queue[1:]
		p := k.producers[address]
		if p == nil || !p.queued {
			continue // it has gone, and perhaps come again, meanwhile
		}
		p.queued = false
		if !p.missing.IsZero() {
			continue
		}
		p.connecting = true
		k.connecting++
		go func() { k.outcomes <- outcome{address, k.consumer.ConnectToNSQD(address)} }()
	}
}

func (k *keeper) connected(o outcome, now time.Time) {
	k.connecting--
	p := k.producers[o.address]
	p.connecting = false
	already := k.d.cfg.AlreadyConnected
	if o.err == nil || already != nil && errors.Is(o.err, already) {
		if o.err == nil {
			k.d.log.Info("connected to nsqd", "nsqd", o.address)
		}
		p.failed, p.wait, p.next = false, 0, time.Time{}
		return
	}
	if !p.failed {
		k.d.log.Warn("cannot connect to nsqd; trying again", "nsqd", o.address, "error", o.err)
	}
	p.failed = true
	p.wait = min(max(firstRetry, 2*p.wait), lastRetry)
	p.next = now.Add(p.wait)
	k.retryBy(p.next, now)
}

// retryBy sees to it that retryAll is called then.
func (k *keeper) retryBy(at, now time.Time) {
	if k.retryAt.IsZero() || at.Before(k.retryAt) {
		k.retryAt = at
		k.retry.Reset(at.Sub(now))
	}
}

// retryAll queues what could not be connected, and is listed still.
func (k *keeper) retryAll(now time.Time) {
	k.retryAt = time.Time{}
	for address, p := range k.producers {
		switch {
		case !p.failed || !p.missing.IsZero():
		case now.Before(p.next): // many that fail one by one are tried again together
			k.retryBy(latest(p.next, now.Add(firstRetry)), now)
		default:
			k.enqueue(address, p)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
