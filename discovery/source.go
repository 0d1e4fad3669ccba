package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// goodLife is how long a stream must have lived not to count as a failure, so that one which always
	// ends at once does not make this client hurry.
	goodLife = 10 * time.Second
	// spread is within what time the clients of a replica that has gone come to the others.
	spread = 50 * time.Millisecond
	// firstWait is how long to wait when nobody could be followed; then it doubles, up to PollInterval: so
	// stock nsqlookupds are soon polled at that.
	firstWait = 250 * time.Millisecond
)

var (
	errNoWatch = errors.New("it has no /watch")
	errSilent  = errors.New("it is silent")
)

// source follows the replicas, one at a time, and sends what it sees. All of it belongs to the goroutine
// of run.
type source struct {
	d      *Discovery
	views  chan<- view
	client *http.Client
	order  []string // the replicas, in an order of its own: so clients spread over them
	next   int      // in order
	wait   time.Duration
}

func newSource(d *Discovery, views chan<- view) *source {
	s := &source{d: d, views: views, client: d.cfg.Client}
	if s.client == nil {
		s.client = &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
			TLSHandshakeTimeout: requestTimeout,
		}}
	}
	for _, i := range rand.Perm(len(d.addresses)) {
		s.order = append(s.order, d.addresses[i])
	}
	return s
}

func (s *source) run(ctx context.Context) {
	if s.d.cfg.Client == nil {
		defer s.client.CloseIdleConnections()
	}
	for ctx.Err() == nil {
		lived := s.followEach(ctx)
		if ctx.Err() != nil {
			return
		}
		if lived {
			s.wait = 0
			pause(ctx, rand.N(spread))
			continue
		}
		s.poll(ctx)
		s.wait = min(max(firstWait, 2*s.wait), s.d.cfg.PollInterval)
		pause(ctx, s.wait-s.wait/10+rand.N(s.wait/5+1))
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// send hands a view over, unless ctx ends.
func (s *source) send(ctx context.Context, v view) {
	select {
	case s.views <- v:
	case <-ctx.Done():
	}
}

// followEach follows one replica after the other until one has lived, or each has been tried.
func (s *source) followEach(ctx context.Context) (lived bool) {
	for range s.order {
		base := s.order[s.next]
		s.next = (s.next + 1) % len(s.order)
		life, err := s.follow(ctx, base)
		if ctx.Err() != nil {
			return false
		}
		if life > 0 {
			s.d.log.Warn("lost a replica; asking another", "replica", base, "error", err)
			s.send(ctx, view{}) // from here on nobody is missing
		} else {
			s.d.log.Debug("cannot follow a replica", "replica", base, "error", err)
		}
		if life >= goodLife {
			return true
		}
	}
	return false
}

// follow follows a replica's stream to its end, and returns for how long it did: 0 when nothing came.
// It never resumes one: of one topic everything is one event, and an index means nothing in another
// cluster, which an address may have come to be.
func (s *source) follow(ctx context.Context, base string) (life time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(requestTimeout, func() { cancel(errSilent) })
	defer silence.Stop()
	resp, err := s.get(ctx, base+"/watch", "text/event-stream")
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusOK && kind != "text/event-stream":
		return 0, errNoWatch
	case resp.StatusCode != http.StatusOK:
		return 0, refusal(resp)
	}
	events := newEventReader(&heardReader{resp.Body, silence, s.d.cfg.Silence})
	var begin time.Time
	var now view
	for {
		e, err := events.next()
		if err == nil && e.kind == "topic" {
			now.producers, err = addressesIn(e.data)
		}
		if err != nil {
			if !begin.IsZero() {
				life = max(time.Since(begin), 1)
			}
			return life, cause(ctx, err)
		}
		switch e.kind {
		case "topic":
			now.complete = true
		case "gone":
			now = view{complete: true}
		case "ready":
			s.d.log.Info("following a replica", "replica", base)
			continue
		case "": // a heartbeat: all is as it was
		default:
			continue // a resync: everything comes again
		}
		if now.complete {
			if begin.IsZero() {
				begin = time.Now()
			}
			s.send(ctx, now)
		}
	}
}

// cause is why ctx has ended, or err.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

// heardReader puts off the end of a stream whenever something comes.
type heardReader struct {
	from    io.Reader
	silence *time.Timer
	limit   time.Duration
}

func (r *heardReader) Read(b []byte) (int, error) {
	r.silence.Reset(r.limit)
	return r.from.Read(b)
}

// get asks for the topic.
func (s *source) get(ctx context.Context, address, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?topic="+url.QueryEscape(s.d.cfg.Topic), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", accept)
	if s.d.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.d.cfg.Token)
	}
	return s.client.Do(req)
}

// refusal is the error for a status that is no good.
func refusal(resp *http.Response) error {
	const enough = 200
	text, _ := io.ReadAll(io.LimitReader(resp.Body, enough)) // it is for people
	return fmt.Errorf("it answers %s: %q", resp.Status, text)
}

// poll asks every replica once, all at the same time. What any of them lists is there; what is missing
// is so only when all of them have answered: stock nsqlookupds do not know of each other.
func (s *source) poll(ctx context.Context) {
	v := view{complete: true}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, base := range s.order {
		asking.Go(func() {
			addresses, err := s.lookup(ctx, base)
			mu.Lock()
			defer mu.Unlock()
			v.producers = append(v.producers, addresses...)
			if err != nil {
				v.complete = false
				s.d.log.Warn("cannot ask for the producers", "address", base, "error", err)
			}
		})
	}
	asking.Wait()
	s.send(ctx, v)
}

// lookup is what a consumer itself asks (nsqio/go-nsq, consumer.go, queryLookupd).
func (s *source) lookup(ctx context.Context, base string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := s.get(ctx, base+"/lookup", "application/vnd.nsq; version=1.0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNotFound: // there is no such topic yet
		return nil, nil
	case http.StatusOK:
	default:
		return nil, refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, errTooLong
	}
	return addressesIn(body)
}
