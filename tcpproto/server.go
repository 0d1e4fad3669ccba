package tcpproto

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

const (
	firstAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay   = time.Second
)

// Session is one identified nsqd in the registry. Config.Open makes it; one goroutine calls it.
type Session interface {
	// Register and Unregister may block for the commit timeout. An empty channel means the topic.
	// pending says that the change is queued but was not committed in time: the client is told
	// so and the connection lives on. err says that the change was not taken: the connection
	// ends, since nothing may be dropped silently.
	Register(topic, channel string) (pending bool, err error)
	Unregister(topic, channel string) (pending bool, err error)

	// Ping says that the nsqd was heard from. It never blocks.
	Ping()

	// Close says that the nsqd has ended the connection of its own will: it is to be unlisted at once.
	// Detach says that the connection has ended and that this replica may have caused it: the nsqd may
	// live, and comes back. Neither blocks. One of the two is called, exactly once, unless Server.Close
	// cut the connection: then none is.
	Close()
	Detach()
}

// Config says what a Server serves. Open is required. A timeout that is not positive stands for
// its default.
type Config struct {
	// Open begins a session and never blocks. An error means that no nsqd is taken now: the
	// client is answered E_UNAVAILABLE and the connection ends. evict closes the connection; it
	// never blocks and may be called at any time, from any goroutine, more than once.
	Open func(info fsm.ProducerInfo, evict func()) (Session, error)

	// Admit, when set, is asked for each new connection, and must not block: false closes the
	// connection at once.
	Admit func() bool

	// Paused, when set, reports whether this process stood still at any time from since until now.
	Paused func(since time.Time) bool

	Greeting Greeting
	Logger   *slog.Logger // nil: no log

	MagicTimeout    time.Duration // from accept to the protocol magic; 5 s
	IdentifyTimeout time.Duration // from accept to the end of IDENTIFY; 15 s
	WriteTimeout    time.Duration // for one answer to a client that does not read; 5 s
	LingerTimeout   time.Duration // for a client to read a fatal answer and hang up; 500 ms
	CloseTimeout    time.Duration // how long Server.Close waits for busy sessions; 5 s

	lateAnswer time.Duration // for tests; see lateAnswer
}

func (c Config) withDefaults() Config {
	orDefault := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orDefault(&c.MagicTimeout, 5*time.Second)
	orDefault(&c.IdentifyTimeout, 15*time.Second)
	orDefault(&c.WriteTimeout, 5*time.Second)
	orDefault(&c.LingerTimeout, 500*time.Millisecond)
	orDefault(&c.CloseTimeout, 5*time.Second)
	orDefault(&c.lateAnswer, lateAnswer)
	if c.Paused == nil {
		c.Paused = func(time.Time) bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server speaks the protocol with any number of nsqds. Make it with New.
type Server struct {
	cfg      Config
	log      *slog.Logger
	ok       []byte // framed; shared by all connections, never written to
	greeting []byte // likewise

	stop    chan struct{} // closed when Close begins
	drained chan struct{} // closed when closing is true and both maps are empty

	mu        sync.Mutex
	closing   bool // once true, stays so, and nothing is added to the maps
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// New builds a Server; it starts nothing.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		ok:        frame("OK"),
		greeting:  cfg.Greeting.frame(),
		stop:      make(chan struct{}),
		drained:   make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
}

// Serve accepts connections until Close, then returns nil. It owns l and closes it. An error
// that passes, such as a lack of file descriptors, is waited out; any other is returned. The
// connections live on then, until Close.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	s.log.Info("TCP: listening on " + l.Addr().String())
	var delay time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.accept(nc)
		case s.isClosing():
			return nil
		case passes(err):
			delay = min(max(2*delay, firstAcceptDelay), maxAcceptDelay)
			s.log.Warn("accept failed, trying again", "error", err, "delay", delay)
			s.pause(delay)
		default:
			return fmt.Errorf("accept connection: %w", err)
		}
	}
}

// passes reports whether an error from Accept is one of the moment.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	if errors.As(err, &t) && t.Temporary() {
		return true
	}
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// pause returns early when Close begins.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stop:
	}
}

func (s *Server) accept(nc net.Conn) {
	if s.cfg.Admit != nil && !s.cfg.Admit() {
		s.log.Debug("not admitted", "client", nc.RemoteAddr().String())
		_ = nc.Close()
		return
	}
	c := newConn(s, nc)
	if !s.track(c) {
		_ = nc.Close()
		return
	}
	go c.run()
}

// Close closes the listeners and every connection and waits for all goroutines, for
// Config.CloseTimeout at most, then returns ErrCloseTimeout. It may be called more than once.
//
// It closes no Session: they stay in the registry as they are, for the replica's grace period,
// so that consumers see no gap while their nsqds go elsewhere or this replica restarts.
func (s *Server) Close() error {
	for _, closeOne := range s.beginClose() {
		_ = closeOne() // already closed is as good
	}
	t := time.NewTimer(s.cfg.CloseTimeout)
	defer t.Stop()
	select {
	case <-s.drained:
		return nil
	case <-t.C:
		return fmt.Errorf("close nsqd server: %w", ErrCloseTimeout)
	}
}

// beginClose stops additions and returns what there is to close. Only the first call finds any.
func (s *Server) beginClose() []func() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil
	}
	s.closing = true
	close(s.stop)
	s.checkDrained()
	all := make([]func() error, 0, len(s.listeners)+len(s.conns))
	for l := range s.listeners {
		all = append(all, l.Close)
	}
	for c := range s.conns {
		all = append(all, c.nc.Close)
	}
	return all
}

// Connections is how many connections are open, identified or not.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.checkDrained()
}

func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkDrained()
}

// checkDrained must be called with mu held, after closing is set or something is removed. The
// last removal is the last call, so drained is closed once.
func (s *Server) checkDrained() {
	if s.closing && len(s.listeners)+len(s.conns) == 0 {
		close(s.drained)
	}
}
