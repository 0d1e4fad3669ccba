package ctl

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const (
	longPatience = 2 * time.Minute // with a verb that takes long by its nature
	pollWait     = 5 * time.Second // for one answer while a verb is waited for
	catchUpEvery = time.Second     // between two lines that say how far it is
)

func (p *program) joinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join ADDRESS",
		Short: "Have a replica join a cluster, and wait until it votes",
		Long: `join tells the replica at --addr to join the cluster that the replica at the gossip address ADDRESS
(host or host:port, port 4163 by default) is part of, and waits until it votes there, or reads along
if it was started with -reader. What has happened so far is told on stderr.

A replica that holds nothing gives up a cluster that it has formed by itself. One that has data of its
own is left as it is, and join says what to do with it. When the time is over the replica goes on
trying.`,
		Example: `  lookupctl --addr lookup4 join lookup1
  lookupctl --addr lookup4:4161 --timeout 10m join lookup1:4163`,
		Args: takes("ADDRESS"),
		RunE: p.online(p.join),
	}
}

func (p *program) join(ctx context.Context, args []string) error {
	if err := p.theOne("join"); err != nil {
		return err
	}
	before, err := p.askStatus(ctx)
	if err != nil {
		return err
	}
	patience := p.within(longPatience)
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var t told
	if err := p.client.only(p.client.serving(), patience).administer(limited, "/cluster/join", url.Values{"address": args}, &t); err != nil {
		return err
	}
	j := &joining{program: p, before: before, already: t.Message == "MEMBER", patience: patience, said: map[string]bool{}}
	if j.already && j.done(before) {
		return j.finish(before)
	}
	p.note("contacted %s", args[0])
	after, err := j.await(limited)
	if err != nil {
		return err
	}
	return j.finish(after)
}

// joining is a replica on its way into a cluster.
type joining struct {
	*program
	before   *Status // when it was told to join
	already  bool    // it is part of that cluster, though perhaps without a vote
	patience time.Duration

	said     map[string]bool // lines on stderr
	counted  time.Time       // when it was last said how far it is
	obstacle string          // what it waits for
}

func (j *joining) await(ctx context.Context) (*Status, error) {
	poll := j.client.only(j.client.serving(), min(pollWait, j.patience))
	for {
		s, err := statusBy(ctx, poll)
		switch {
		case err == nil && j.done(s):
			return s, nil
		case err == nil:
			j.report(s)
		case ctx.Err() == nil: // it may be starting again
			j.obstacle = err.Error()
		}
		if !pause(ctx, j.pollEvery) {
			return nil, j.tooLong()
		}
	}
}

// done reports whether the replica is in. One that led a cluster of its own is not in because it
// leads that one still.
func (j *joining) done(s *Status) bool {
	if !j.already && j.before.Role != roleNone && s.ID == j.before.ID && s.ClusterID == j.before.ClusterID {
		return false
	}
	return s.Role == roleVoter || s.Role == roleLeader || s.Role == roleReader && s.Reader && s.Ready
}

// report tells what is new.
func (j *joining) report(s *Status) {
	switch newest := s.newest(); {
	case s.Role != roleReader:
		j.obstacle = cmp.Or(s.WaitingFor, "the cluster has not taken it in")
		j.say("waits: " + j.obstacle)
	case !s.Ready || s.AppliedIndex < newest:
		far := fmt.Sprintf("%d of %d", s.AppliedIndex, newest)
		j.obstacle = "it has caught up " + far
		j.say("taken in as non-voter")
		if now := j.clock(); now.Sub(j.counted) >= catchUpEvery {
			j.counted = now
			j.say("catching up: " + far)
		}
	default:
		j.obstacle = "it has caught up, but has no vote yet"
		j.say("taken in as non-voter")
		j.say(fmt.Sprintf("caught up: %d of %d", s.AppliedIndex, newest))
	}
}

// say tells a line once.
func (j *joining) say(line string) {
	if !j.said[line] {
		j.said[line] = true
		j.note("%s", line)
	}
}

func (j *joining) tooLong() error {
	return fmt.Errorf("%s is not in after %s: %s; it goes on trying, look with 'lookupctl --addr %s status'",
		j.before.Name, j.patience, j.obstacle, j.client.serving())
}

func (j *joining) finish(s *Status) error {
	does := map[string]string{roleLeader: "leads", roleVoter: "votes", roleReader: "reads along"}[s.Role]
	document := Joined{Name: s.Name, ID: s.ID, Role: s.Role, ClusterID: s.ClusterID, Leader: s.Leader, Already: j.already}
	return j.show(document, func(pg *page) {
		if j.already {
			does += " already"
		}
		voters, _, _ := s.quorum()
		pg.line("%s %s, in cluster %s of %s", s.Name, does, orDash(s.ClusterID), count(voters, "voter", "voters"))
	})
}
