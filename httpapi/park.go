package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// parking is where the connections of requests wait that are answered when something changes. A
// handler of net/http that waits keeps 25 KiB: the buffers, the request, and the stacks of two
// goroutines that have been deep in it. So such a connection is taken from net/http and kept by two
// small goroutines, which costs a quarter of that; its price is that it is closed after the answer.
type parking struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// parked is a request that waits.
type parked struct {
	s     *Server
	conn  net.Conn
	line  string // of the log, "" for none
	start time.Time
	d     demand
	about subject
	view  view // without its state
}

// park takes over the connection of a request, and answers when the thing has changed or the wait
// ends. False when it cannot be taken over.
func (s *Server) park(w http.ResponseWriter, r *http.Request, d demand, about subject, v view, was look) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	p := &parked{s: s, start: time.Now(), d: d, about: about, view: v}
	p.about.topic = strings.Clone(about.topic) // not the whole request
	if s.log.Enabled(r.Context(), slog.LevelInfo) {
		p.line = fmt.Sprintf("%s %s (%s)", r.Method, r.URL.RequestURI(), r.RemoteAddr)
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	_ = conn.SetDeadline(time.Time{})
	p.conn = conn
	s.parking.add(conn)
	s.parking.wg.Go(func() { p.wait(was) })
	return true
}

func (p *parking) add(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = make(map[net.Conn]struct{})
	}
	p.conns[c] = struct{}{}
}

func (p *parking) remove(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

// leave waits until those have been answered who wait, or cuts them when the context ends. It
// returns when their goroutines have ended.
func (p *parking) leave(ctx context.Context) {
	cut := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.conns {
			_ = c.Close()
		}
	})
	defer cut()
	p.wg.Wait()
}

// wait ends with the connection.
func (p *parked) wait(was look) {
	defer p.s.parking.remove(p.conn)
	defer func() { // net/http does so for its handlers
		if v := recover(); v != nil {
			p.s.log.Error(fmt.Sprintf("HTTP: panic in a read that waits: %v", v), "stack", string(debug.Stack()))
		}
	}()
	ctx, leave := context.WithCancel(p.s.base)
	defer leave()
	p.s.parking.wg.Go(func() { // a client that leaves is noticed by reading
		var one [1]byte
		if _, err := p.conn.Read(one[:]); err != nil {
			leave()
		}
	})
	err := p.s.changed(ctx, p.d, p.about, &p.view, was)
	if ctx.Err() != nil {
		return // there is nobody to answer
	}
	var a answer
	if err != nil {
		a = p.s.failed(err, "request", p.line)
	} else {
		a = p.s.readNow(p.d, p.about, p.view)
	}
	if p.line != "" {
		p.s.log.Info(fmt.Sprintf("%d %s %s", a.code, p.line, time.Since(p.start)))
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(p.s.cfg.WriteTimeout))
	a.write(&parkedWriter{conn: p.conn, header: make(http.Header)})
}

// parkedWriter writes an answer to a connection that net/http has given away.
type parkedWriter struct {
	conn   net.Conn
	header http.Header
	code   int
}

// Header implements http.ResponseWriter.
func (w *parkedWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *parkedWriter) WriteHeader(code int) { w.code = code }

// Write implements http.ResponseWriter; an answer is written by one call.
func (w *parkedWriter) Write(body []byte) (int, error) {
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	response := http.Response{StatusCode: w.code, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Close: true,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	return len(body), response.Write(w.conn)
}
