package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Both sides of a connection of the cluster port say who they are before anything else is read:
//
//	dialer:   kind byte | version byte | cluster id | id that it wants to reach | its own id | hello
//	accepter: answer, with its hello
//	dialer:   answer
//
// An id is a text: its length in one byte and so many bytes. An id that is not the accepter's, or a
// cluster that is not, ends the connection: addresses are handed on between machines, and a Raft
// server obeys whoever speaks to it with a higher term. So does a history that cannot be true.
//
// Version 1, which is all that release 0.1.0 speaks, has no hello, and its accepter answers with a
// text: empty to go on, or why not. There is no third message.
const (
	plainGreeting byte = 1
	helloGreeting byte = 2
)

// greeting is what a dialer says.
type greeting struct {
	kind, version byte
	target        string
	from          peer
	hello         hello // of version 2
}

// greeted reads and answers the dialer's greeting.
func (p *port) greeted(c net.Conn) (kind byte, from peer, err error) {
	if err := c.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return 0, peer{}, err
	}
	g, err := readGreeting(c, p.speaks())
	if err != nil {
		return 0, g.from, err
	}
	if (g.kind == kindRaft || g.kind == kindJournal) && !p.waitBegun() {
		return 0, g.from, net.ErrClosed
	}
	refusal := p.check(g.kind, g.target, g.from)
	switch {
	case g.version == plainGreeting:
		err = p.answerPlain(c, g, refusal)
	default:
		err = p.answer(c, g, refusal)
	}
	if err != nil { // the dialer may hang up first: one refusal has one text
		return g.kind, g.from, err
	}
	return g.kind, g.from, c.SetDeadline(time.Time{})
}

// speaks returns the newest version of the greeting that this replica speaks.
func (p *port) speaks() byte {
	if p.older != nil && p.older() {
		return plainGreeting
	}
	return helloGreeting
}

// waitBegun waits until this replica takes part in the cluster, but no longer than for a greeting.
func (p *port) waitBegun() bool {
	t := time.NewTimer(greetingTimeout)
	defer t.Stop()
	select {
	case <-p.begun:
		return true
	case <-p.over:
	case <-t.C:
	}
	return false
}

// errUnjudged refuses a greeting that says nothing of its replica's history.
var errUnjudged = errors.New("this replica is known by the newer greeting, and with the level of log kinds that is in force release 0.1.0 " +
	"cannot be part of the cluster")

// unjudged returns errUnjudged for a connection that might carry the votes and changes of a copy. A replica
// falls back to the older greeting when others hang up at the newer one, so a copy might, too.
func (p *port) unjudged(g greeting) error {
	if (g.kind == kindRaft || g.kind == kindJournal) && p.past() && p.book.get(g.from.id).Life.Start > 0 {
		return errUnjudged
	}
	return nil
}

// answerPlain answers a greeting of version 1, which is not judged.
func (p *port) answerPlain(c net.Conn, g greeting, refusal error) error {
	if refusal == nil {
		refusal = p.unjudged(g)
	}
	reason := ""
	if refusal != nil {
		reason = refusal.Error()
	} else {
		p.book.plainly(g.from.id)
		p.belongs(c, g.from.id, life{})
	}
	_, err := c.Write(appendText(nil, reason))
	return errors.Join(refusal, err)
}

// answer answers a greeting of version 2, and reads what the dialer makes of that.
func (p *port) answer(c net.Conn, g greeting, refusal error) error {
	var a answer
	if refusal == nil && g.kind != kindProbe {
		refusal = p.meet(c, g.from.id, g.hello)
	}
	if refusal == nil {
		mine := p.self.hello()
		a.Hello = &mine
	} else {
		a = refusing(refusal, p.self.whoami(), g.from)
	}
	b, err := appendMessage(nil, a)
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil || refusal != nil || g.kind == kindProbe {
		return errors.Join(refusal, err)
	}
	var theirs answer
	if err := readMessage(c, &theirs); err != nil {
		return fmt.Errorf("read the dialer's answer: %w", err)
	}
	return p.obey(theirs, g.from.cluster)
}

// refusing returns the answer to one that is refused. A verdict counts only inside one cluster.
func refusing(err error, me, other peer) answer {
	var h *errHistory
	return answer{Reason: err.Error(), History: errors.As(err, &h) && me.cluster != "" && me.cluster == other.cluster}
}

// obey returns the other side's refusal. One that is a verdict on this replica's history ends it.
func (p *port) obey(theirs answer, cluster string) error {
	err := theirs.err()
	if me := p.self.whoami(); theirs.History && me.cluster != "" && me.cluster == cluster {
		p.self.condemned(theirs.Reason)
	}
	return err
}

func (p *port) check(kind byte, target string, from peer) error {
	me := p.self.whoami()
	switch {
	case p.cut != nil && p.cut(from.id):
		return errCut
	case p.handle[kind] == nil:
		return fmt.Errorf("connection of unknown kind %q", kind)
	case target != me.id:
		return fmt.Errorf("meant for replica %.8s…, this is %.8s…", target, me.id)
	case me.cluster != "" && from.cluster != "" && me.cluster != from.cluster:
		return fmt.Errorf("replica %.8s… is of cluster %.8s…, this one of %.8s…", from.id, from.cluster, me.cluster)
	case from.cluster == "" && kind != kindCall:
		// Also when this one is of none either: Raft keeps a connection for as long as it lives, and over
		// one that was opened while its cluster was still being formed this one would never hear its id.
		return fmt.Errorf("replica %.8s… is of no cluster", from.id)
	case me.cluster == "" && from.cluster != "" && kind == kindRaft:
		return p.self.invited(from.cluster)
	}
	return nil
}

// greet says who dials, and returns what the accepter says of itself.
func (p *port) greet(c net.Conn, kind, version byte, id string) (hello, error) {
	me := p.self.whoami()
	b := []byte{kind, version}
	b = appendText(appendText(appendText(b, me.cluster), id), me.id)
	if version == plainGreeting {
		return hello{}, greetPlainly(c, b)
	}
	b, err := appendMessage(b, p.self.hello())
	if err != nil {
		return hello{}, err
	}
	if _, err := c.Write(b); err != nil {
		return hello{}, hungUp(err)
	}
	var a answer
	if err := readMessage(c, &a); err != nil {
		return hello{}, hungUp(err)
	}
	if err := p.obey(a, me.cluster); err != nil {
		return hello{}, err
	}
	if a.Hello == nil {
		return hello{}, errors.New("it does not say who it is")
	}
	return *a.Hello, a.Hello.sound()
}

func greetPlainly(c net.Conn, b []byte) error {
	if _, err := c.Write(b); err != nil {
		return err
	}
	reason, err := readText(c)
	if err == nil && reason != "" {
		err = fmt.Errorf("%s%s", refusedBy, reason)
	}
	return err
}

// meetAccepter judges the accepter of a connection by its hello, and tells it the verdict.
func (p *port) meetAccepter(c net.Conn, id string, said hello) error {
	refusal := p.meet(c, id, said)
	var a answer
	if refusal != nil {
		me := p.self.whoami()
		a = refusing(refusal, me, me)
	}
	b, err := appendMessage(nil, a)
	if err == nil {
		_, err = c.Write(b)
	}
	return errors.Join(refusal, err)
}

// errHungUp means that the other side closed the connection instead of answering, as release 0.1.0
// does when the version is new to it.
var errHungUp = errors.New("it closed the connection without an answer")

func hungUp(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", errHungUp, err)
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

func readText(r io.Reader) (string, error) {
	var buf [255]byte
	if _, err := io.ReadFull(r, buf[:1]); err != nil {
		return "", err
	}
	n := buf[0]
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// readGreeting reads a greeting of no newer version than that, and no further.
func readGreeting(r io.Reader, newest byte) (g greeting, err error) {
	var start [2]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return g, fmt.Errorf("read greeting: %w", err)
	}
	g.kind, g.version = start[0], start[1]
	if g.version < plainGreeting || g.version > newest {
		return g, fmt.Errorf("greeting of version %d: upgrade the older of the two replicas", g.version)
	}
	for _, field := range []*string{&g.from.cluster, &g.target, &g.from.id} {
		if *field, err = readText(r); err != nil {
			return g, fmt.Errorf("read greeting: %w", err)
		}
	}
	if g.version == plainGreeting {
		return g, nil
	}
	if err := readMessage(r, &g.hello); err != nil {
		return g, err
	}
	g.hello = g.hello.cut()
	return g, g.hello.sound()
}
