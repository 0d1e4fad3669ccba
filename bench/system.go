package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// system is what is measured: one nsqlookupd, or one or several replicas of raftlookupd.
type system struct {
	who     string
	servers []*lookupd
	dir     string
}

// quiet is how both programs log.
const quiet = "-log-level=error"

// nsqlookupd starts one, with default flags but for its addresses and its log.
func (b *bench) nsqlookupd(ctx context.Context) (*system, error) {
	s, err := b.newSystem(nsqlookupd)
	if err != nil {
		return nil, err
	}
	at, err := b.ports.several(2)
	if err != nil {
		return nil, err
	}
	s.servers = []*lookupd{{
		name: nsqlookupd, bin: b.programs.nsqlookupd, dir: s.dir, tcp: at[0], http: at[1], ready: "/ping",
		args: []string{quiet, "-broadcast-address=127.0.0.1", "-tcp-address=" + at[0], "-http-address=" + at[1]},
	}}
	return s, s.start(ctx)
}

// raftlookupd starts so many replicas, which form a cluster; they too have default flags but for those.
func (b *bench) raftlookupd(ctx context.Context, replicas int, flags ...string) (*system, error) {
	s, err := b.newSystem(raftlookupd)
	if err != nil {
		return nil, err
	}
	var gossip []string
	for i := range replicas {
		at, err := b.ports.several(4)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("r%d", i+1)
		args := []string{quiet, "-name=" + name, "-data-path=" + filepath.Join(s.dir, name), "-broadcast-address=127.0.0.1",
			"-tcp-address=" + at[0], "-http-address=" + at[1], "-cluster-address=" + at[2], "-gossip-address=" + at[3]}
		gossip = append(gossip, at[3])
		s.servers = append(s.servers, &lookupd{name: name, bin: b.programs.raftlookupd, dir: s.dir,
			args: append(args, flags...), tcp: at[0], http: at[1], ready: "/readyz"})
	}
	if replicas > 1 {
		for _, l := range s.servers {
			l.args = append(l.args, "-join="+strings.Join(gossip, ","), "-bootstrap-expect="+strconv.Itoa(replicas))
		}
	}
	return s, s.start(ctx)
}

func (b *bench) newSystem(who string) (*system, error) {
	dir, err := os.MkdirTemp(b.dir, who+"-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	return &system{who: who, dir: dir}, nil
}

// start starts all and waits until they serve; when that fails, none is left.
func (s *system) start(ctx context.Context) error {
	for _, l := range s.servers {
		if err := l.start(ctx); err != nil {
			s.close()
			return err
		}
	}
	if err := s.level(ctx); err != nil {
		s.close()
		return fmt.Errorf("start %s: %w", s.who, err)
	}
	return nil
}

// close kills all and removes their data.
func (s *system) close() {
	for _, l := range s.servers {
		if l.process != nil {
			l.kill()
		}
	}
	_ = os.RemoveAll(s.dir)
}

func (s *system) processes() []*process {
	var all []*process
	for _, l := range s.servers {
		all = append(all, l.process)
	}
	return all
}

// at is where the nsqd of that number belongs: they are spread over all.
func (s *system) at(i int) *lookupd { return s.servers[i%len(s.servers)] }

// level waits until all serve, and replicas agree on a leader and have applied the same.
func (s *system) level(ctx context.Context) error {
	return until(ctx, pollInterval, patience, func(ctx context.Context) error {
		for _, l := range s.servers {
			if err := l.serves(ctx); err != nil {
				return err
			}
		}
		if s.who != raftlookupd {
			return nil
		}
		_, err := s.levelled(ctx)
		return err
	})
}

// levelled returns the leader when all agree on one, and nothing is on its way.
func (s *system) levelled(ctx context.Context) (string, error) {
	first, err := s.servers[0].status(ctx)
	if err != nil {
		return "", err
	}
	if first.Leader == "" {
		return "", errors.New("nobody leads")
	}
	for _, l := range s.servers {
		is, err := l.status(ctx)
		if err != nil {
			return "", err
		}
		if is.Leader != first.Leader || is.Registry.Pending > 0 || is.CommitIndex != first.CommitIndex || is.AppliedIndex != first.CommitIndex {
			return "", fmt.Errorf("%s: follows %q, has applied %d of %d, %d pending; %s follows %q and has %d", l.name, is.Leader,
				is.AppliedIndex, is.CommitIndex, is.Registry.Pending, s.servers[0].name, first.Leader, first.CommitIndex)
		}
	}
	return first.Leader, nil
}

// roles returns the leader and the others, once all are level.
func (s *system) roles(ctx context.Context) (leader *lookupd, others []*lookupd, err error) {
	if err := s.level(ctx); err != nil {
		return nil, nil, err
	}
	name, err := s.levelled(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range s.servers {
		if l.name == name {
			leader = l
		} else {
			others = append(others, l)
		}
	}
	if leader == nil {
		return nil, nil, fmt.Errorf("the leader %q is unknown", name)
	}
	return leader, others, nil
}

// await waits until has returns nil.
func (s *system) await(ctx context.Context, topics int, within time.Duration) error {
	return until(ctx, pollInterval, within, func(ctx context.Context) error { return s.has(ctx, topics) })
}

// has returns nil when every replica has applied all that was sent to it, and has so many topics. nsqlookupd is not asked:
// what it has answered it has.
func (s *system) has(ctx context.Context, topics int) error {
	if s.who == nsqlookupd {
		return nil
	}
	for _, l := range s.servers {
		is, err := l.status(ctx)
		if err != nil {
			return err
		}
		if is.Registry.Topics < topics || is.Registry.Pending > 0 {
			return fmt.Errorf("%s: %d of %d topics, %d pending", l.name, is.Registry.Topics, topics, is.Registry.Pending)
		}
	}
	return nil
}
