package ctl

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Snapshots are of any size: their time is not limited, but each step's is.

// watched ends a context when nothing has moved for a while.
func watched(ctx context.Context, idle time.Duration) (_ context.Context, moved func(), stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(idle, func() { cancel(nothingMovesFor(idle)) })
	return ctx, func() { timer.Reset(idle) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

// counted counts what is read, and tells that something moves.
type counted struct {
	io.Reader
	n     *atomic.Int64
	moved func()
	err   error // of the reader, io.EOF left out
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if n > 0 {
		c.n.Add(int64(n))
		c.moved()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// download hands the body of an answer to take. When it fails, take may have got a part of it, and
// nobody else is asked.
func (c *client) download(ctx context.Context, path string, n *atomic.Int64, take func(io.Reader) error) error {
	return c.inTurn(ctx, func(err error) bool { return n.Load() == 0 && mayRepeat(err) }, func(base string) error {
		ctx, moved, stop := watched(ctx, c.timeout)
		defer stop()
		req, err := newRequest(ctx, http.MethodGet, base, path, nil, nil)
		if err != nil {
			return err
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return silenceOf(ctx, base, err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return refusalOf(base, path, resp)
		}
		body := &counted{Reader: resp.Body, n: n, moved: moved}
		err = take(body)
		if body.err != nil {
			return silenceOf(ctx, base, body.err)
		}
		return err
	})
}

// upload is a body that can be sent again.
type upload struct {
	size int64
	open func() (io.ReadCloser, error)
	sent *atomic.Int64
}

// send posts a body and reads the answer, for which it waits as long as for any other step.
func (c *client) send(ctx context.Context, path string, query url.Values, u upload, into answer) error {
	c.posted.Store(true)
	return unsure(c.inTurn(ctx, notBegun, func(base string) error {
		ctx, moved, stop := watched(ctx, c.timeout)
		defer stop()
		file, err := u.open()
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		u.sent.Store(0)
		// The file is closed here and not by the transport.
		body := io.NopCloser(&counted{Reader: file, n: u.sent, moved: moved})
		req, err := newRequest(ctx, http.MethodPost, base, path, query, body)
		if err != nil {
			return err
		}
		req.ContentLength = u.size
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Expect", "100-continue") // so that a refusal comes before the body goes
		_, err = c.exchange(ctx, req, base, path, into)
		return err
	}))
}
