package cluster

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// A leader that is dialled and does not answer holds nobody up once there is another.
func TestDialToAFormerLeaderEnds(t *testing.T) {
	c := newTrio(t, 3, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r, leader := c.follower(), c.leader()
	alone := &router{r: r}
	r.book.mu.Lock()
	known := r.book.records[leader.ID()]
	known.Addresses, known.Hint = []string{silent.Addr().String()}, ""
	r.book.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, err := alone.forwarder()
		done <- err
	}()
	for alone.dialling.Load() == nil {
		select {
		case err := <-done:
			t.Fatalf("not dialled: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	d := alone.dialling.Load()
	d.leader = "a former leader" // as if another led by now
	alone.moved()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that the dial was given up", err)
	}
}
