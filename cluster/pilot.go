package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

const (
	pilotInterval  = time.Second
	pilotReconcile = time.Second
	// stableTime is how long a newcomer has to be healthy before it votes.
	stableTime = 2 * time.Second
	// healthyLag is how many entries a healthy replica may be behind.
	healthyLag = 2048

	nodeReader autopilot.NodeType = "reader"
)

// pilot is autopilot's view of this replica: it makes voters of the non-voters that have caught up
// and are stable, unless they are readers. It removes nobody: see replace.go.
type pilot struct {
	r *Replica
	*autopilot.StablePromoter
}

func (r *Replica) newPilot(logger hclog.Logger) *autopilot.Autopilot {
	p := pilot{r: r}
	return autopilot.New(pilotRaft{r.raft, r}, p, autopilot.WithLogger(logger), autopilot.WithPromoter(p),
		autopilot.WithUpdateInterval(pilotInterval), autopilot.WithReconcileInterval(pilotReconcile))
}

// pilotWhileLeading runs autopilot whenever this replica leads, until the context ends.
func (r *Replica) pilotWhileLeading(ctx context.Context, a *autopilot.Autopilot) error {
	leading := false
	pace(ctx, 100*time.Millisecond, func(time.Duration) {
		switch leads := r.leads(); {
		case leads && !leading:
			a.Start(ctx)
			leading = true
		case !leads && leading:
			<-a.Stop()
			leading = false
		}
	})
	if leading {
		<-a.Stop()
	}
	return nil
}

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		LastContactThreshold:    max(2*p.r.cfg.RaftTimeout, time.Second),
		MaxTrailingLogs:         healthyLag,
		ServerStabilizationTime: stableTime,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (pilot) NotifyState(*autopilot.State) {}

// RemoveFailedServer implements autopilot.ApplicationIntegration; it is not called, because nobody
// is to be removed.
func (pilot) RemoveFailedServer(*autopilot.Server) {}

// KnownServers implements autopilot.ApplicationIntegration.
func (p pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := make(map[raft.ServerID]*autopilot.Server)
	for id := range p.r.servers() {
		m, _ := p.r.members.get(id)
		s := &autopilot.Server{
			ID: raft.ServerID(id), Name: p.r.nameOf(id), Address: raft.ServerAddress(id), Version: m.Version,
			RaftVersion: 3, NodeStatus: autopilot.NodeFailed, NodeType: autopilot.NodeVoter,
			IsLeader: id == p.r.data.ID && p.r.leads(),
		}
		if p.r.lives(m) || id == p.r.data.ID {
			s.NodeStatus = autopilot.NodeAlive
		}
		if m.Reader {
			s.NodeType = nodeReader
		}
		known[s.ID] = s
	}
	return known
}

// FetchServerStats implements autopilot.ApplicationIntegration.
func (p pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var ids []string
	for id := range servers {
		ids = append(ids, string(id))
	}
	stats := make(map[raft.ServerID]*autopilot.ServerStats)
	for id, s := range p.r.standings(ctx, ids) {
		stats[raft.ServerID(id)] = &autopilot.ServerStats{LastContact: pilotContact(s.LastContactMS),
			LastTerm: s.LastTerm, LastIndex: s.LastIndex}
	}
	return stats
}

// pilotContact is a peer's last contact for autopilot, to which a negative one would look healthy.
func pilotContact(ms int64) time.Duration {
	if ms < 0 {
		return time.Hour
	}
	return time.Duration(ms) * time.Millisecond
}

// GetNodeTypes implements autopilot.Promoter: readers stay readers.
func (p pilot) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := make(map[raft.ServerID]autopilot.NodeType)
	for id, server := range s.Servers {
		types[id] = server.Server.NodeType
	}
	return types
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter: readers are not promoted, and a
// voter that was started again as a reader votes no longer, as long as somebody else does.
func (p pilot) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	changes := p.StablePromoter.CalculatePromotionsAndDemotions(c, s)
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool {
		return s.Servers[id].Server.NodeType == nodeReader
	})
	for _, id := range s.Voters {
		switch server := s.Servers[id]; {
		case server.Server.NodeType != nodeReader:
			if id != s.Leader && server.Health.Healthy {
				changes.Leader = id
			}
		case id != s.Leader:
			changes.Demotions = append(changes.Demotions, id)
		}
	}
	if leader, known := s.Servers[s.Leader]; !known || leader.Server.NodeType != nodeReader {
		changes.Leader = "" // it stays
	}
	return changes
}
