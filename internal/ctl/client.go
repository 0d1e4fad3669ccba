package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

const (
	maxErrorAnswer = 64 << 10
	maxDial        = 5 * time.Second
	atOnce         = 16 // requests for a verb that has many
)

// client asks the replicas of a list, the one that served last first. It may be used by several
// goroutines.
type client struct {
	http    *http.Client
	addrs   []string
	timeout time.Duration // of one request
	limit   int64         // bytes of an answer
	current atomic.Int64  // index in addrs of the one that served last
	posted  *atomic.Bool  // something was asked to change
}

func newClient(addrs []string, timeout time.Duration, limit int64) *client {
	dialer := net.Dialer{Timeout: dialTimeout(timeout)}
	return &client{
		addrs: addrs, timeout: timeout, limit: limit, posted: &atomic.Bool{},
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:            dialer.DialContext,
				MaxIdleConnsPerHost:    atOnce,
				MaxResponseHeaderBytes: maxErrorAnswer,
				ExpectContinueTimeout:  time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// dialTimeout ends before the request does, so that it is known that nothing was sent.
func dialTimeout(request time.Duration) time.Duration { return min(request/2, maxDial) }

func (c *client) close() { c.http.CloseIdleConnections() }

// serving is the base URL of the replica that served last.
func (c *client) serving() string { return c.addrs[c.current.Load()] }

// only is a client that asks just that replica.
func (c *client) only(base string, timeout time.Duration) *client {
	return &client{http: c.http, addrs: []string{base}, timeout: timeout, limit: c.limit, posted: c.posted}
}

// within is the same client with another timeout.
func (c *client) within(timeout time.Duration) *client {
	other := &client{http: c.http, addrs: c.addrs, timeout: timeout, limit: c.limit, posted: c.posted}
	other.current.Store(c.current.Load())
	return other
}

// get asks for a JSON value, and any other replica when one does not answer.
func (c *client) get(ctx context.Context, path string, query url.Values, into answer) error {
	_, err := c.getRaw(ctx, path, query, into)
	return err
}

// getRaw is get that also returns the answer as it came.
func (c *client) getRaw(ctx context.Context, path string, query url.Values, into answer) (body []byte, err error) {
	err = c.inTurn(ctx, mayRepeat, func(base string) error {
		body, err = c.ask(ctx, http.MethodGet, base, path, query, into)
		return err
	})
	return body, err
}

// change asks for a change that may be asked for twice. The answer's body does not matter.
func (c *client) change(ctx context.Context, path string, query url.Values) error {
	c.posted.Store(true)
	return c.inTurn(ctx, mayRepeat, func(base string) error {
		_, err := c.ask(ctx, http.MethodPost, base, path, query, nil)
		return err
	})
}

// administer asks for a change of the cluster, which is asked of another replica only when the first
// has certainly not begun with it.
func (c *client) administer(ctx context.Context, path string, query url.Values, into answer) error {
	c.posted.Store(true)
	return unsure(c.inTurn(ctx, notBegun, func(base string) error {
		_, err := c.ask(ctx, http.MethodPost, base, path, query, into)
		return err
	}))
}

// inTurn asks one replica after the other, as long as goOn says so of the errors.
func (c *client) inTurn(ctx context.Context, goOn func(error) bool, ask func(base string) error) error {
	first := c.current.Load()
	var failures []error
	for i := range int64(len(c.addrs)) {
		at := (first + i) % int64(len(c.addrs))
		err := ask(c.addrs[at])
		if err == nil {
			c.current.Store(at)
			return nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil || !goOn(err) {
			break
		}
	}
	return combine(failures)
}

// ask sends one request to one replica. into may be nil.
func (c *client) ask(ctx context.Context, method, base, path string, query url.Values, into answer) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, noAnswerWithin(c.timeout))
	defer cancel()
	req, err := newRequest(ctx, method, base, path, query, nil)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, req, base, path, into)
}

// exchange sends a request and reads the whole answer, which is 200.
func (c *client) exchange(ctx context.Context, req *http.Request, base, path string, into answer) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, silenceOf(ctx, base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, refusalOf(base, path, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.limit+1))
	if err != nil {
		return nil, silenceOf(ctx, base, err)
	}
	if int64(len(body)) > c.limit {
		return nil, &strange{base, path, fmt.Sprintf("more than %s", humanBytes(c.limit))}
	}
	return body, decode(base, path, body, into)
}

func newRequest(ctx context.Context, method, base, path string, query url.Values, body io.Reader) (*http.Request, error) {
	target := base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("User-Agent", "lookupctl/"+version.Binary)
	// Old nsqlookupds leave out the envelope around their answers for this.
	req.Header.Set("Accept", "application/vnd.nsq; version=1.0")
	return req, nil
}

// answer is a JSON answer.
type answer interface {
	// tidy sorts what is printed sorted, and names what is not in the answer though it always is in
	// a replica's; "" when nothing is missing.
	tidy() string
}

// envelope is what nsqlookupd before 1.0 puts around its answers.
type envelope struct {
	StatusCode int             `json:"status_code"`
	Data       json.RawMessage `json:"data"`
}

func decode(base, path string, body []byte, into answer) error {
	if into == nil {
		return nil
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err == nil && e.StatusCode == http.StatusOK && len(e.Data) > 0 {
		body = e.Data
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &strange{base, path, excerpt(body)}
	}
	if field := into.tidy(); field != "" {
		return &strange{base, path, fmt.Sprintf("%s without %q", excerpt(body), field)}
	}
	return nil
}

// mayRepeat reports whether another replica may be asked what one was asked: it did not answer, or
// cannot serve at present.
func mayRepeat(err error) bool {
	var r *refusal
	if errors.As(err, &r) {
		return r.status == http.StatusServiceUnavailable
	}
	var s *silence
	var u *unanswered
	return errors.As(err, &s) || errors.As(err, &u)
}

// notBegun is mayRepeat for what must not be done twice.
func notBegun(err error) bool {
	var r *refusal
	if errors.As(err, &r) {
		return r.code == "NO_LEADER" || r.code == "NOT_READY" || r.code == "CLOSED"
	}
	var s *silence
	return errors.As(err, &s) && !s.sent
}
