package ctl

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) leaveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Have a replica hand over its duties and leave its cluster",
		Long: `leave takes the replica at --addr out of its cluster: it hands over leadership if it leads, its nsqds
move to the others, and it stays blank until it is told to join again or is stopped for good. leave
waits until it is out, and shows who remains. It is refused when those that remain would have no
majority; forced, it takes the replicas that are dead out first.`,
		Example: `  lookupctl --addr lookup2 leave`,
		Args:    takes(),
		RunE: p.online(func(ctx context.Context, _ []string) error {
			return p.leave(ctx, force)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "take dead replicas out first, should too few remain")
	return cmd
}

func (p *program) leave(ctx context.Context, force bool) error {
	if err := p.theOne("leave"); err != nil {
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
	if err := p.client.only(p.client.serving(), patience).administer(limited, "/cluster/leave", forced(url.Values{}, force), &t); err != nil {
		return err
	}
	p.note("%s has left, waiting until it is out", before.Name)
	if err := p.awaitOut(limited, before, patience); err != nil {
		return err
	}
	left := Left{Name: before.Name, ID: before.ID}
	left.Remain, left.SeenOut = p.whoRemains(limited, before)
	return p.show(left, func(pg *page) {
		pg.line("%s is out of cluster %s", left.Name, orDash(before.ClusterID))
		if !left.SeenOut {
			pg.line("None of the others could be asked from here; they were:")
		}
		rows := [][]cell{head("REMAINS", "ROLE", "HEALTH", "HTTP")}
		for _, m := range left.Remain {
			rows = append(rows, texts(m.Name, m.Role, orDash(m.Health), orDash(m.Addresses.HTTP)))
		}
		pg.table(rows)
	})
}

// awaitOut waits until the replica has started anew.
func (p *program) awaitOut(ctx context.Context, before *Status, patience time.Duration) error {
	poll := p.client.only(p.client.serving(), min(pollWait, patience))
	why := ""
	for {
		s, err := statusBy(ctx, poll)
		switch {
		case err == nil && (s.Role == roleNone || s.ID != before.ID):
			return nil
		case err == nil:
			why = "it says that it is still a " + s.Role
		case ctx.Err() == nil: // it is starting again
			why = err.Error()
		}
		if !pause(ctx, p.pollEvery) {
			return fmt.Errorf("%s has left, but does not show it after %s: %s; look with 'lookupctl members' at another replica",
				before.Name, patience, why)
		}
	}
}

const (
	remainTries = 10
	remainWait  = 2 * time.Second // for the answer of one of the others
)

// whoRemains asks the other members until one says that the replica is out. If none can be reached
// from here it returns the others as they were before, and false.
func (p *program) whoRemains(ctx context.Context, before *Status) ([]Member, bool) {
	for range remainTries {
		answered := false
		for _, m := range before.Members {
			if m.ID == before.ID || !m.Alive || m.Addresses.HTTP == "" {
				continue
			}
			s, err := statusBy(ctx, p.client.only("http://"+m.Addresses.HTTP, min(remainWait, p.flags.timeout)))
			if err != nil {
				continue
			}
			answered = true
			if !s.in(before.ID) {
				return part(s, before.ID), true
			}
		}
		if !answered || !pause(ctx, p.pollEvery) {
			break
		}
	}
	return part(before, before.ID), false
}

// part are the members of a cluster without one.
func part(s *Status, without string) []Member {
	return slices.DeleteFunc(slices.Clone(s.Members), func(m Member) bool { return m.ID == without || m.Role == roleNone })
}

func forced(query url.Values, force bool) url.Values {
	if force {
		query.Set("force", "true")
	}
	return query
}

func (p *program) removeCommand() *cobra.Command {
	var force bool
	var id string
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a dead replica out of the cluster",
		Long: `remove takes a dead replica out of the cluster, so that it is not counted any more: three voters of which
one is dead bear no further loss, two do not have to bear it. A replica that is alive is asked to
leave instead. A machine that takes the place of a dead one needs no remove: started under the same
name, it replaces it.`,
		Example: `  lookupctl remove lookup3
  lookupctl remove --id 3f9c2a7d5e81b604      where two have the same name`,
		Args:              takes("[NAME]"),
		ValidArgsFunction: p.completeMembers(),
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.remove(ctx, strings.Join(args, ""), id, force)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "take other dead replicas out first, should too few remain")
	cmd.Flags().StringVar(&id, "id", "", "remove the replica of this `id`")
	return cmd
}

func (p *program) remove(ctx context.Context, name, id string, force bool) error {
	if name == "" && id == "" {
		return usagef("remove needs NAME or --id")
	}
	q := url.Values{}
	if name != "" {
		q.Set("name", name)
	}
	if id != "" {
		q.Set("id", id)
	}
	var t told
	if err := p.client.administer(ctx, "/cluster/remove", forced(q, force), &t); err != nil {
		return err
	}
	return p.show(Removed{name, t.ID}, func(pg *page) {
		if name != "" {
			name += " "
		}
		pg.line("removed %s(id %s)", name, orDash(t.ID))
	})
}

func (p *program) transferCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [NAME]",
		Short: "Have another replica lead",
		Long: `transfer hands leadership to the voter of that name, or to the one that suits best. It takes well under a
second. Do it before you stop the leader, to spare the cluster an election.`,
		Example: `  lookupctl transfer
  lookupctl transfer lookup2`,
		Args:              takes("[NAME]"),
		ValidArgsFunction: p.completeMembers(),
		RunE:              p.online(p.transfer),
	}
}

func (p *program) transfer(ctx context.Context, args []string) error {
	q := url.Values{}
	if len(args) > 0 {
		q.Set("name", args[0])
	}
	var t told
	if err := p.client.administer(ctx, "/cluster/transfer", q, &t); err != nil {
		return err
	}
	return p.show(Transferred{t.Leader}, func(pg *page) { pg.line("%s leads", orDash(t.Leader)) })
}
