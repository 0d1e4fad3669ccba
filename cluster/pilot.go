package cluster

import (
	"context"
	"sync"
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
// and are stable, unless they are readers. It removes nobody.
type pilot struct {
	r *Replica
	*autopilot.StablePromoter
}

func (r *Replica) newPilot(logger hclog.Logger) *autopilot.Autopilot {
	p := pilot{r: r}
	return autopilot.New(r.raft, p, autopilot.WithLogger(logger), autopilot.WithPromoter(p),
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
		if m.alive || id == p.r.data.ID {
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
	var mu sync.Mutex
	var wg sync.WaitGroup
	stats := make(map[raft.ServerID]*autopilot.ServerStats)
	for id := range servers {
		wg.Go(func() {
			s, err := p.standing(ctx, string(id))
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			stats[id] = &autopilot.ServerStats{LastContact: time.Duration(s.LastContactMS) * time.Millisecond,
				LastTerm: s.LastTerm, LastIndex: s.LastIndex}
		})
	}
	wg.Wait()
	return stats
}

func (p pilot) standing(ctx context.Context, id string) (standing, error) {
	if id == p.r.data.ID {
		return p.r.standing(), nil
	}
	return p.r.caller.standing(ctx, id)
}

// GetNodeTypes implements autopilot.Promoter: readers stay readers.
func (p pilot) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := make(map[raft.ServerID]autopilot.NodeType)
	for id, server := range s.Servers {
		types[id] = server.Server.NodeType
	}
	return types
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter.
func (p pilot) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	changes := p.StablePromoter.CalculatePromotionsAndDemotions(c, s)
	var promotions []raft.ServerID
	for _, id := range changes.Promotions {
		if s.Servers[id].Server.NodeType == autopilot.NodeVoter {
			promotions = append(promotions, id)
		}
	}
	changes.Promotions = promotions
	return changes
}
