package ctl

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const statusPath = "/cluster/status"

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show a replica and its cluster at a glance",
		Long: `status shows the replica that is asked: what it is to its cluster, whether it is ready and if not why,
how far its log is, what its registry holds, and the members of the cluster as it sees them. It works
without a leader. -o json prints the replica's own answer to GET /cluster/status.`,
		Example: `  lookupctl status
  lookupctl --addr lookup2 -o json status | jq .registry.fingerprint`,
		Args: takes(),
		RunE: p.online(p.status),
	}
}

func (p *program) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "Show who leads, who votes, who is behind and who is gone",
		Long: `members shows the replicas of the cluster as the one that is asked sees them: BEHIND is by how many log
entries a replica is, GONE SINCE for how long gossip has called it dead. HEALTH is healthy; does not
answer, when gossip has not called it dead yet; gone; not in gossip, when only the cluster port hears
it; not seen, when nothing does. It works without a leader, and says whether enough voters are alive
for there to be one, and which replicas must be upgraded before new kinds of log entries are used.`,
		Example: `  lookupctl members
  lookupctl -o json members | jq -r '.members[] | select(.alive | not) | .name'`,
		Args: takes(),
		RunE: p.online(p.members),
	}
}

// askStatus asks for the status of whichever replica serves.
func (p *program) askStatus(ctx context.Context) (*Status, error) { return statusBy(ctx, p.client) }

func statusBy(ctx context.Context, c *client) (*Status, error) {
	s := &Status{}
	if err := c.get(ctx, statusPath, nil, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *program) status(ctx context.Context, _ []string) error {
	s := &Status{}
	raw, err := p.client.getRaw(ctx, statusPath, nil, s)
	if err != nil {
		return err
	}
	if p.flags.output == "json" {
		return p.print(append(bytes.TrimSpace(raw), '\n'))
	}
	pg := &page{color: p.color}
	pg.table(statusRows(s))
	pg.line("")
	writeMembers(pg, s)
	return p.print(pg.Bytes())
}

func statusRows(s *Status) [][]cell {
	var rows [][]cell
	row := func(title string, look style, format string, args ...any) {
		rows = append(rows, []cell{{title, loud}, {fmt.Sprintf(format, args...), look}})
	}
	row("Name", plain, "%s (id %s, version %s)", s.Name, s.ID, orDash(s.Version))
	row("Cluster", plain, "%s", orDash(s.ClusterID))
	row("Role", plain, "%s", s.Role)
	if s.Leader == "" {
		row("Leader", bad, "none is known")
	} else {
		row("Leader", plain, "%s, in term %d%s", s.Leader, s.Term, caughtUp(s))
	}
	if s.Ready {
		row("Ready", good, "yes")
	} else {
		row("Ready", bad, "no: %s", orDash(s.Reason))
	}
	if s.WaitingFor != "" {
		row("Waiting for", bad, "%s", s.WaitingFor)
	}
	r := s.Registry
	row("Log", plain, "committed up to %d, applied up to %d%s", s.CommitIndex, s.AppliedIndex, kinds(r.LogLevel))
	row("Registry", plain, "%s, %s, %s from %s", count(r.Topics, "topic", "topics"), count(r.Channels, "channel", "channels"),
		count(r.Producers, "producer", "producers"), count(r.Sessions, "session", "sessions"))
	row("", plain, "%s, %s, %s", count(r.Orphans, "orphan", "orphans"), count(r.Tombstones, "tombstone", "tombstones"),
		count(r.Pending, "change pending", "changes pending"))
	row("Fingerprint", plain, "%s at %d", orDash(r.Fingerprint), r.Index)
	row("Addresses", plain, "nsqd %s, HTTP %s", orDash(s.Addresses.TCP), orDash(s.Addresses.HTTP))
	row("", plain, "cluster %s, gossip %s", orDash(s.Addresses.Cluster), orDash(s.Addresses.Gossip))
	return rows
}

// kinds tells the level in force, unless it is that of the first release.
func kinds(level uint64) string {
	if level == 0 {
		return ""
	}
	return fmt.Sprintf(", kinds of level %d", level)
}

func caughtUp(s *Status) string {
	switch {
	case s.Role == roleLeader:
		return ""
	case s.LastContactMS < 0:
		return ", not caught up yet"
	}
	return ", caught up " + humanDuration(millis(s.LastContactMS)) + " ago"
}

func (p *program) members(ctx context.Context, _ []string) error {
	s, err := p.askStatus(ctx)
	if err != nil {
		return err
	}
	voters, alive, needed := s.quorum()
	document := Members{Asked: s.Name, Leader: s.Leader, Term: s.Term, CommitIndex: s.CommitIndex,
		Voters: voters, VotersAlive: alive, Quorum: needed, Members: s.Members}
	return p.show(document, func(pg *page) { writeMembers(pg, s) })
}

func writeMembers(pg *page, s *Status) {
	rows := [][]cell{head("NAME", "ROLE", "HEALTH", "APPLIED", "BEHIND", "VERSION", "TCP", "HTTP", "GONE SINCE")}
	for _, m := range s.Members {
		rows = append(rows, memberRow(m))
	}
	pg.table(rows)
	pg.line("")
	if behind := s.belowTheNewest(); behind != "" {
		pg.line("Level %d of log kinds is in force: %s.", s.Registry.LogLevel, behind)
	}
	voters, alive, needed := s.quorum()
	switch {
	case voters == 0:
		pg.line("This replica is not part of a cluster.")
	case s.Leader == "" && alive < needed:
		pg.line("No leader: %d of %s alive, changes need %d. Bring one back.", alive, count(voters, "voter", "voters"), needed)
	case s.Leader == "":
		pg.line("No leader is known to %s, though %d of %s count as alive and %d are enough: see HEALTH, and ask again.", s.Name, alive, count(voters, "voter", "voters"), needed)
	default:
		pg.line("%s leads; %d of %s alive, changes need %d.", s.Leader, alive, count(voters, "voter", "voters"), needed)
	}
}

// belowTheNewest says which replicas keep a level of log kinds that others know from being in force, ""
// for none.
func (s *Status) belowTheNewest() string {
	var newest uint64
	for _, m := range s.Members {
		newest = max(newest, m.LogLevel)
	}
	var old []string
	for _, m := range s.Members {
		if m.Role != roleNone && m.LogLevel < newest {
			old = append(old, m.Name)
		}
	}
	if len(old) == 0 || newest <= s.Registry.LogLevel {
		return ""
	}
	return strings.Join(old, ", ") + " must be upgraded before level " + strconv.FormatUint(newest, 10) + " can be"
}

// farBehind is more than is on its way at any moment.
const farBehind = 100

func memberRow(m Member) []cell {
	applied, behind, gone := "-", "-", "-"
	if m.AppliedIndex > 0 {
		applied = strconv.FormatUint(m.AppliedIndex, 10)
		behind = strconv.FormatUint(m.Lag, 10)
	}
	if m.GoneMS > 0 {
		gone = humanDuration(millis(m.GoneMS))
	}
	row := texts(m.Name, m.Role, orDash(m.Health), applied, behind, orDash(m.Version), orDash(m.Addresses.TCP), orDash(m.Addresses.HTTP), gone)
	if m.Leaving {
		row[2].text += ", leaving"
	}
	switch {
	case !m.Alive || m.Health != "healthy":
		row[2].style = bad
	default:
		row[2].style = good
	}
	if m.Role == roleLeader {
		row[1].style = loud
	}
	if m.Lag >= farBehind {
		row[4].style = bad
	}
	return row
}
