package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ErrStuck means that handlers did not end although their connections were cut and their contexts
// canceled.
var ErrStuck = errors.New("HTTP handlers did not stop")

// Server serves the HTTP API. Make one with New.
type Server struct {
	cfg     Config
	log     *slog.Logger
	info    []byte // the body of /info
	handler http.Handler
	http    *http.Server
	conns   *conns
	base    context.Context    // of every request
	cancel  context.CancelFunc // ends it
	parking parking
	// stopping is closed when Close begins: those who wait for a change are answered.
	stopping chan struct{}

	closing  sync.Once
	closeErr error
}

// New builds a Server; it starts nothing.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	base, cancel := context.WithCancel(context.Background())
	s := &Server{
		base:   base,
		cfg:    cfg,
		log:    cfg.Logger,
		info:   encodeKnown(cfg.Info),
		conns:  newConns(),
		cancel: cancel,

		stopping: make(chan struct{}),
	}
	s.handler = s.guard(s.newRouter())
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ConnState:         s.conns.changed,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers the connections that l accepts, until Close, and then returns nil, at once when
// Close was before. It owns l. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	s.log.Info("HTTP: listening on " + l.Addr().String())
	defer s.log.Info("HTTP: closing " + l.Addr().String())
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Close stops accepting, hangs up on connections that wait for no answer, lets the requests in
// work finish until ctx ends, then cuts them, and returns when the goroutines of all connections
// have ended. When some do not within StopTimeout after the cut, the error is ErrStuck. A second call
// waits for the first and returns the same.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closeErr = s.stop(ctx) })
	return s.closeErr
}

func (s *Server) stop(ctx context.Context) error {
	close(s.stopping)
	s.conns.hangUp()
	err := s.http.Shutdown(ctx) // whatever it returns, nothing accepts any more
	s.parking.leave(ctx)
	s.cancel()
	if err != nil {
		s.log.Warn("HTTP: cutting the requests that have not finished", "reason", err)
		_ = s.http.Close() // its error is about the listeners, which Shutdown has closed
	}
	if n := s.conns.wait(s.cfg.StopTimeout); n > 0 {
		return fmt.Errorf("close HTTP server: %d connections: %w", n, ErrStuck)
	}
	return nil
}

// guard bounds the body of every request, whether its handler reads it or not: before it answers,
// net/http itself reads what the handler has left.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// Fails only where there is no connection to bound, as under a recorder in a test.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout))
			r.Body = http.MaxBytesReader(w, r.Body, s.bodyLimit(r))
		}
		next.ServeHTTP(w, r)
	})
}

// renewWrite starts the WriteTimeout again, for an answer that took its time to make.
func (s *Server) renewWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
}
