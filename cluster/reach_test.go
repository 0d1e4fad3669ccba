package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// racing is what the dials of a race do, by address.
type racing struct {
	mu    sync.Mutex
	other map[string]net.Conn // the far ends of what was dialled
}

// dial fails, answers, or answers only when the race is over.
func (r *racing) dial(ctx context.Context, address string) (net.Conn, error) {
	switch address {
	case "fails":
		return nil, errCut
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	case "late":
		<-ctx.Done()
	}
	near, far := net.Pipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.other[address] = far
	return near, nil
}

// isOpen reports whether the connection to that address is open.
func (r *racing) isOpen(address string) bool {
	_ = r.other[address].SetReadDeadline(time.Now().Add(time.Second))
	_, err := r.other[address].Read(make([]byte, 1))
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// The first address that answers wins, each has a little time for itself, and what comes late is closed.
func TestRace(t *testing.T) {
	for name, c := range map[string]struct {
		addresses []string
		want      string // "" for none
		after     time.Duration
	}{
		"one":                   {[]string{"good"}, "good", 0},
		"one fails":             {[]string{"fails", "good"}, "good", 0},
		"one hangs":             {[]string{"hangs", "good"}, "good", dialStagger},
		"some hang":             {[]string{"hangs", "late", "good"}, "good", 2 * dialStagger},
		"a failure is no pause": {[]string{"late", "fails", "good"}, "good", dialStagger},
		"all fail":              {[]string{"fails", "fails"}, "", 0},
		"all hang or fail":      {[]string{"hangs", "fails"}, "", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &racing{other: make(map[string]net.Conn)}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				conn, address, err := race(ctx, c.addresses, r.dial)
				if took := time.Since(start); address != c.want || took != c.after || (conn == nil) != (c.want == "") || (err == nil) != (c.want != "") {
					t.Fatalf("%q won after %s, error %v", address, took, err)
				}
				if conn == nil {
					return
				}
				for address := range r.other {
					if open := r.isOpen(address); open != (address == c.want) {
						t.Errorf("%s: open %v", address, open)
					}
				}
				_ = conn.Close()
			})
		})
	}
}
