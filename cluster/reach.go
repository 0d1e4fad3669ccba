package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// dialStagger is how long an address has for itself before the next one is tried beside it.
	dialStagger = 100 * time.Millisecond
	// probeTimeout bounds the question whether the former life of a replica still answers.
	probeTimeout = 500 * time.Millisecond
)

// reach dials the replica of that id at every address that the book knows. The first that answers as
// that replica, in a life that may be, is it.
func (p *port) reach(ctx context.Context, kind byte, id string) (net.Conn, error) {
	addresses := p.book.addresses(id)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("no address is known of replica %.8s…", id)
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	c, address, err := race(ctx, addresses, func(ctx context.Context, address string) (net.Conn, error) {
		return p.dial(ctx, kind, id, address)
	})
	if err != nil {
		return nil, err
	}
	if p.book.reached(id, address) {
		p.keep()
	}
	p.signOfLife(id)
	return c, nil
}

// race dials the addresses, each a little after the one before, or at once when that has failed, and
// returns the first connection. It returns when every dial has ended.
func race(ctx context.Context, addresses []string, dial func(context.Context, string) (net.Conn, error)) (net.Conn, string, error) {
	type outcome struct {
		conn    net.Conn
		address string
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan outcome, len(addresses))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	won, running := outcome{}, 0
	var errs []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := 0; won.conn == nil && (next < len(addresses) || running > 0); {
		more := timer.C
		if next == len(addresses) {
			more = nil
		}
		select {
		case <-more:
			address := addresses[next]
			next, running = next+1, running+1
			timer.Reset(dialStagger)
			wg.Go(func() {
				c, err := dial(ctx, address)
				done <- outcome{c, address, err}
			})
		case o := <-done:
			running--
			if o.err != nil {
				errs = append(errs, o.err)
				timer.Reset(0)
			} else {
				won = o
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if late := <-done; late.conn != nil {
			_ = late.conn.Close()
		}
	}
	if won.conn == nil {
		return nil, "", errors.Join(errs...)
	}
	return won.conn, won.address, nil
}

// dial reaches the replica of that id at an address, and no other. A replica that hangs up at the
// newer greeting gets the older one.
func (p *port) dial(ctx context.Context, kind byte, id, address string) (net.Conn, error) {
	if p.cut != nil && p.cut(id) {
		return nil, errCut
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	newer := p.speaks() >= helloGreeting
	if newer && !p.book.speaksPlain(id) {
		c, err := p.dialAs(ctx, kind, helloGreeting, id, address)
		if err == nil || !errors.Is(err, errHungUp) || !p.book.hungUp(id) {
			return c, err
		}
		newer = false // it was tried
	}
	c, err := p.dialAs(ctx, kind, plainGreeting, id, address)
	switch {
	case err == nil:
		p.book.plainly(id)
	case strings.Contains(err.Error(), refusedBy):
		p.book.newlyAgain(id)
		if newer {
			again, failed := p.dialAs(ctx, kind, helloGreeting, id, address)
			if failed == nil {
				return again, nil
			}
			err = errors.Join(err, failed)
		}
	}
	return c, err
}

func (p *port) dialAs(ctx context.Context, kind, version byte, id, address string) (net.Conn, error) {
	c, err := p.connect(ctx, id, address)
	if err != nil {
		return nil, err
	}
	// A dial that another address has overtaken ends at once.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	said, err := p.greet(c, kind, version, id)
	if err == nil && version != plainGreeting {
		err = p.meetAccepter(c, id, said.cut())
	}
	if err == nil && !stop() { // the deadline of the past is or will be set
		err = ctx.Err()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, fmt.Errorf("greet replica %.8s… at %s: %w", id, address, errors.Join(err, ctx.Err(), c.Close()))
	}
	return c, nil
}

// connect dials the address.
func (p *port) connect(ctx context.Context, id, address string) (net.Conn, error) {
	raw, err := dialTCP(ctx, &p.wg, address)
	if err != nil {
		return nil, fmt.Errorf("dial replica %.8s…: %w", id, err)
	}
	c, ok := p.track(raw)
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// meet judges a replica by its hello, and learns from it when it is accepted. A newer life is accepted
// only when the former one does not answer any more: the one that lives stays, the copy goes.
func (p *port) meet(c net.Conn, id string, said hello) error {
	known, v := p.book.judge(id, said)
	if v != sameLife || said.Start > 0 && known.Life.Start == 0 {
		done := p.turn(id) // a newer life is judged once, however many connections it opens
		defer done()
		known, v = p.book.judge(id, said)
	}
	// A copy of a replica that lives is called that also when its log is short, because the advice for a
	// short log is to take the replica out.
	if (v == laterLife || v == shortLog) && known.Life.Start > 0 && p.lives(id, known, said) {
		v = stillLives
	}
	if (v == stillLives || v == forkedLife) && p.book.refuse(id, said.life()) {
		p.keep()
	}
	if !v.refuses() {
		changed, overtaken := p.book.learn(id, said)
		if changed {
			p.dropFormer(id, said.life())
			p.keep()
		}
		if !overtaken {
			p.belongs(c, id, said.life())
			return nil
		}
		known, v = p.book.judge(id, said)
	}
	err := &errHistory{v.explain(known, said)}
	p.mu.Lock()
	told := p.told[id] == said.life()
	if len(p.told) > maxRecords {
		clear(p.told)
	}
	p.told[id] = said.life()
	p.mu.Unlock()
	if !told {
		p.log.Error("refused a replica", "name", said.Name, "id", id, "address", said.Address, "reason", err.reason)
	}
	return err
}

// turn waits until nothing else judges that id, and returns what ends that.
func (p *port) turn(id string) (done func()) {
	mine := make(chan struct{})
	for {
		p.mu.Lock()
		others, busy := p.judging[id]
		if !busy {
			p.judging[id] = mine
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				delete(p.judging, id)
				p.mu.Unlock()
				close(mine)
			}
		}
		p.mu.Unlock()
		<-others
	}
}

// lives reports whether the life that is known of an id still answers, at any address that is known.
func (p *port) lives(id string, known peerRecord, said hello) bool {
	addresses := known.where()
	if said.Address != "" && !slices.Contains(addresses, said.Address) {
		addresses = append(slices.Clip(addresses), said.Address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	answers := make(chan bool, len(addresses))
	for _, address := range addresses {
		p.wg.Go(func() {
			now, err := p.probe(ctx, id, address)
			answers <- err == nil && now.life() == known.Life
		})
	}
	for range addresses {
		if <-answers {
			return true
		}
	}
	return false
}

// probe asks which life of an id listens at an address.
func (p *port) probe(ctx context.Context, id, address string) (hello, error) {
	if p.cut != nil && p.cut(id) {
		return hello{}, errCut
	}
	c, err := p.connect(ctx, id, address)
	if err != nil {
		return hello{}, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	return p.greet(c, kindProbe, helloGreeting, id)
}
