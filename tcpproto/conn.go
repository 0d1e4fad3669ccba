package tcpproto

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	magicV1 = "  V1"
	// lingerBytes bounds what a connection discards after a fatal answer.
	lingerBytes = 1 << 20
	// printableBytes bounds what of a client's text goes to the log.
	printableBytes = 256
)

var errEvicted = errors.New("evicted by the replica")

// conn is one client. Its goroutine alone touches everything but evicted and nc.Close.
type conn struct {
	srv      *Server
	nc       net.Conn
	remote   string
	accepted time.Time
	in       input
	session  Session // nil until IDENTIFY has succeeded
	patience patience
	evicted  atomic.Bool
}

func newConn(s *Server, nc net.Conn) *conn {
	now := time.Now()
	return &conn{
		srv:      s,
		nc:       nc,
		remote:   nc.RemoteAddr().String(),
		accepted: now,
		patience: newPatience(now),
		in:       input{src: nc},
	}
}

// run is the connection's goroutine, from accept to the end. It and step keep their stack frames
// small (no logging in them): with larger ones the stack of an idle connection stays at 8 KiB,
// with these the garbage collector shrinks it to 4 KiB.
func (c *conn) run() {
	defer c.srv.forget(c)
	err := c.readMagic()
	for err == nil {
		err = c.step()
	}
	c.end(err)
}

func (c *conn) readMagic() error {
	c.srv.log.Info("new client", "client", c.remote)
	cfg := &c.srv.cfg
	_ = c.nc.SetReadDeadline(c.accepted.Add(min(cfg.MagicTimeout, cfg.IdentifyTimeout)))
	var magic [len(magicV1)]byte
	if _, err := io.ReadFull(c.nc, magic[:]); err != nil {
		return err
	}
	if string(magic[:]) != magicV1 {
		return fatal(codeBadProtocol, "", nil)
	}
	return c.nc.SetReadDeadline(c.accepted.Add(cfg.IdentifyTimeout))
}

// step reads one command and answers it, unless it ends the connection.
func (c *conn) step() error {
	line, err := c.in.line()
	if err != nil {
		return err
	}
	read := time.Now()
	answer, perr := c.exec(line)
	if perr == nil {
		err = c.write(answer)
	} else {
		err = c.answerError(perr)
	}
	if err == nil {
		c.patience.wrote(read, time.Now(), c.srv.cfg.lateAnswer, perr != nil)
	}
	return err
}

// answerError leaves a fatal error to end.
func (c *conn) answerError(perr *protocolError) error {
	if perr.fatal {
		return perr
	}
	c.srv.log.Warn("answered with an error", "client", c.remote, "error", printable(perr.Error()))
	return c.write(frame(perr.Error()))
}

// end does what is left to do after err, which is never nil.
func (c *conn) end(err error) {
	answered := c.answerFatal(err)
	session := c.endSession(err)
	if c.evicted.Load() {
		err = errEvicted
	}
	c.srv.log.Info("exiting", "client", c.remote, "reason", printable(err.Error()), "session", session)
	if answered {
		c.linger()
	}
	_ = c.nc.Close()
}

// endSession ends the session as the end of its connection demands, and returns what became of it.
func (c *conn) endSession(err error) string {
	if c.session == nil {
		return "none"
	}
	why := c.endOf(err)
	switch {
	case c.srv.isClosing(): // last, because endOf may wait
		return "left open"
	case why != causeNone:
		c.session.Detach()
		return "detached: " + string(why)
	}
	c.session.Close()
	return "closed"
}

// answerFatal tells the client why the connection ends, if that is for it to know.
func (c *conn) answerFatal(err error) (answered bool) {
	var perr *protocolError
	if !errors.As(err, &perr) {
		return false
	}
	cause := ""
	if perr.cause != nil {
		cause = printable(perr.cause.Error())
	}
	c.srv.log.Error("answered with a fatal error", "client", c.remote,
		"error", printable(perr.Error()), "cause", cause)
	return c.write(frame(perr.Error())) == nil
}

// write sends a framed answer with one system call; nsqlookupd uses two. The deadline is taken back,
// for it would wake a thread when its time has come: of 10,000 idle connections that took a third of
// the processor time.
func (c *conn) write(framed []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout)); err != nil {
		return err
	}
	if _, err := c.nc.Write(framed); err != nil {
		return err
	}
	_ = c.nc.SetWriteDeadline(time.Time{}) // fails only on a closed connection, which the next read tells
	return nil
}

// linger lets the client read the last answer. Closing a socket with unread bytes resets the
// connection, and the reset can overtake the answer.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.srv.cfg.LingerTimeout))
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// evict may be called from any goroutine, any number of times.
func (c *conn) evict() {
	c.evicted.Store(true)
	_ = c.nc.Close()
}

// frame puts a 4-byte big-endian length before an answer.
func frame(answer string) []byte {
	b := make([]byte, 4, 4+len(answer))
	binary.BigEndian.PutUint32(b, uint32(len(answer)))
	return append(b, answer...)
}

// printable cuts and cleans text that a client may have chosen, for the log.
func printable(s string) string {
	if len(s) > printableBytes {
		s = s[:printableBytes] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
