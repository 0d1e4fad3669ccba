package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

var errBadStep = errors.New("bad step")

// closeWithin is how soon a connection must be closed after an answer that ends it.
const closeWithin = 2 * time.Second

// player plays a history against both twins, one step a line, and compares every answer. The steps are
// described in testdata/README.md.
type player struct {
	twins
	conns map[string]*connPair
}

// connPair is one connection to each of the twins.
type connPair struct {
	nsqlookupd, raftlookupd *conn
	producer                string // its key once identified, else ""
}

func newPlayer(w twins) *player { return &player{twins: w, conns: map[string]*connPair{}} }

// step plays one line. The error is a *difference when the twins answer differently.
func (p *player) step(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "", "#":
		return nil
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		target, body, _ := strings.Cut(rest, " ")
		return p.request(verb, target, body)
	case "REQUEST":
		text, err := unquote(rest)
		if err != nil {
			return err
		}
		return p.rawRequest(text)
	case "listings":
		return p.listings(strings.Fields(rest)...)
	}
	act, argument, _ := strings.Cut(rest, " ")
	return p.act(verb, act, argument)
}

// act plays a step of the connection with that name.
func (p *player) act(name, act, argument string) error {
	if act == "dial" || act == "open" {
		return p.connect(name, act == "open")
	}
	c := p.conns[name]
	if c == nil {
		return fmt.Errorf("%w: no connection %s", errBadStep, name)
	}
	switch act {
	case "identify":
		return p.identify(name, c, argument)
	case "says":
		line, err := unquote(argument)
		if err != nil {
			return err
		}
		return p.exchange(name, c, line+"\n")
	case "sends":
		text, err := unquote(argument)
		if err != nil {
			return err
		}
		return c.both(func(c *conn) error { return c.send(text) })
	case "answer":
		return p.exchange(name, c, "")
	case "shut":
		return c.both(closeWrite)
	case "closed":
		return p.expectClosed(name, c)
	case "leave":
		return p.leave(name, c)
	case "is":
		c.producer = argument
		return nil
	}
	return fmt.Errorf("%w: %s cannot %q", errBadStep, name, act)
}

// unquote reads Go's quoted strings, so that any byte can be written; other text stands for itself.
func unquote(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	s, err := strconv.Unquote(text)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", errBadStep, text, err)
	}
	return s, nil
}

func (p *player) connect(name string, withMagic bool) error {
	if p.conns[name] != nil {
		return fmt.Errorf("%w: connection %s exists", errBadStep, name)
	}
	how := dial
	if withMagic {
		how = open
	}
	theirs, err := how(p.oracle.tcp)
	if err != nil {
		return err
	}
	ours, err := how(p.ours.tcp)
	if err != nil {
		theirs.Close()
		return err
	}
	p.conns[name] = &connPair{nsqlookupd: theirs, raftlookupd: ours}
	return nil
}

func (c *connPair) both(f func(*conn) error) error {
	return errors.Join(f(c.nsqlookupd), f(c.raftlookupd))
}

func closeWrite(c *conn) error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%w: not a TCP connection", errBadStep)
	}
	return half.CloseWrite()
}

// identify takes a producer as address:tcp_port:http_port, or a whole body.
func (p *player) identify(name string, c *connPair, argument string) error {
	body, err := unquote(argument)
	if err != nil {
		return err
	}
	if parts := strings.Split(body, ":"); len(parts) == 3 && !strings.HasPrefix(body, "{") {
		tcpPort, err := strconv.Atoi(parts[1])
		if err != nil {
			return fmt.Errorf("%w: %w", errBadStep, err)
		}
		httpPort, err := strconv.Atoi(parts[2])
		if err != nil {
			return fmt.Errorf("%w: %w", errBadStep, err)
		}
		body = identity(parts[0], tcpPort, httpPort)
	}
	var info producer
	if json.Unmarshal([]byte(body), &info) == nil && c.producer == "" {
		c.producer = info.key()
	}
	return p.exchange(name, c, identifyBytes(body))
}

// exchange sends text, if there is any, and compares the answers. Every error of nsqlookupd's ends the connection
// (nsqio/nsq, nsqlookupd/lookup_protocol_v1.go makes fatal ones only), so that is compared as well.
func (p *player) exchange(name string, c *connPair, text string) error {
	var got []string
	err := c.both(func(c *conn) error {
		if text != "" {
			if err := c.send(text); err != nil {
				return err
			}
		}
		a, err := c.answer()
		if err != nil {
			a = noAnswer(err)
		}
		got = append(got, canonicalJSON([]byte(a), identifyMasked))
		return nil
	})
	if err != nil {
		return err
	}
	if err := compare(fmt.Sprintf("%s %q", name, text), got[0], got[1]); err != nil {
		return err
	}
	if strings.HasPrefix(got[0], "E_") {
		return p.expectClosed(name, c)
	}
	return nil
}

// noAnswer says why there was none, in words that are the same for both twins.
func noAnswer(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "(no answer in time)"
	}
	return "(closed without an answer)"
}

// expectClosed compares whether the connection has been closed, and forgets it.
func (p *player) expectClosed(name string, c *connPair) error {
	var got []string
	err := c.both(func(c *conn) error {
		closed, err := c.isClosed(closeWithin)
		got = append(got, fmt.Sprintf("closed: %v, %v", closed, err))
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(compare("the end of "+name, got[0], got[1]), p.leave(name, c))
}

// leave closes the connection and waits until both twins have noticed, which they do in their own time.
func (p *player) leave(name string, c *connPair) error {
	delete(p.conns, name)
	if err := c.both(func(c *conn) error { return c.Close() }); err != nil {
		return err
	}
	if c.producer == "" {
		return nil
	}
	return p.twins.both(func(l *lookupd) error {
		return poll(patience, func() error { return l.forgot(c.producer) })
	})
}

// finish closes what is open and empties both registries.
func (p *player) finish() error {
	var errs []error
	names := make([]string, 0, len(p.conns))
	for name := range p.conns {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		errs = append(errs, p.leave(name, p.conns[name]))
	}
	return errors.Join(append(errs, p.reset())...)
}
