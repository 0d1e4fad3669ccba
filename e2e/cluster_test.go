package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// clusterPatience is for what needs an election or a transfer of the registry, on a busy machine.
	clusterPatience = 30 * time.Second
	leaderRole      = "leader"
	voterRole       = "voter"
	readerRole      = "reader"
)

// replica is one raftlookupd of a cluster.
type replica struct {
	*lookupd
	data   string // its data path
	common []string
	gossip string
	away   bool // nobody can reach it
}

// cluster is several replicas, which form a cluster by themselves. One whose process has ended, or
// that is away, is not asked.
type cluster struct {
	replicas []*replica
}

// newCluster starts replicas r1, r2 and so on, and returns when all are ready and agree on a leader.
func newCluster(t testing.TB, n int, args ...string) *cluster {
	t.Helper()
	c := prepareCluster(t, n, args...)
	for _, r := range c.replicas {
		r.launch(t)
	}
	c.settle(t)
	return c
}

// prepareCluster starts nothing yet.
func prepareCluster(t testing.TB, n int, args ...string) *cluster {
	t.Helper()
	oursOnly(t)
	c := &cluster{}
	common := append([]string{"-replica-grace", "10s", "-isolation-timeout", "5s"}, args...)
	for i := range n {
		c.replicas = append(c.replicas, newReplica(t, fmt.Sprintf("r%d", i+1)))
	}
	c.joinAll(append(common, "-bootstrap-expect", strconv.Itoa(n)))
	return c
}

// newReplica prepares one by itself, with a new data path.
func newReplica(t testing.TB, name string, args ...string) *replica {
	t.Helper()
	r := &replica{data: filepath.Join(t.TempDir(), "data"), common: args}
	r.move(t, name)
	return r
}

// move gives a replica that does not run new addresses.
func (r *replica) move(t testing.TB, name string) {
	t.Helper()
	r.gossip = freeAddress(t)
	own := []string{"-name", name, "-log-prefix", "[" + name + "] ", "-data-path", r.data,
		"-cluster-address", freeAddress(t), "-gossip-address", r.gossip}
	r.lookupd = newLookupd(t, name, programs.raftlookupd, append(own, r.common...))
	r.readyPath = "/readyz"
}

// joinAll, with the addresses as they are, makes every replica join all of them, by the same line.
func (c *cluster) joinAll(common []string) {
	common = append(slices.Clone(common), "-join", c.gossip())
	for _, r := range c.replicas {
		r.args = append(slices.Clone(r.args), common...)
	}
}

// gossip is where the replicas can be joined.
func (c *cluster) gossip() string {
	var addresses []string
	for _, r := range c.replicas {
		addresses = append(addresses, r.gossip)
	}
	return strings.Join(addresses, ",")
}

// tcp lists where the replicas take nsqds.
func (c *cluster) tcp() []string {
	var addresses []string
	for _, r := range c.replicas {
		addresses = append(addresses, r.lookupd.tcp)
	}
	return addresses
}

// up are the replicas that run, as far as this process knows.
func (c *cluster) up() []*replica {
	return slices.DeleteFunc(slices.Clone(c.replicas), func(r *replica) bool {
		return r.away || r.process != nil && r.hasExited()
	})
}

// member and status are the answer of /cluster/status, as far as tests look at it.
type member struct {
	Name, ID, Role string
	Alive          bool
}

type status struct {
	Name, ID, Role, Leader string
	Term                   uint64
	CommitIndex            uint64 `json:"commit_index"`
	AppliedIndex           uint64 `json:"applied_index"`
	Registry               struct {
		Index   uint64
		Pending int
	}
	Members []member
}

func (r *replica) status() (status, error) {
	var s status
	err := r.get("/cluster/status", &s)
	return s, err
}

// led returns the leader that all running replicas agree on, once all are ready.
func (c *cluster) led() (*replica, error) {
	var leader string
	for _, r := range c.up() {
		if err := r.get("/readyz", nil); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		s, err := r.status()
		if err != nil {
			return nil, err
		}
		if s.Leader == "" || leader != "" && s.Leader != leader {
			return nil, fmt.Errorf("%s says that %q leads, another that %q does", r.name, s.Leader, leader)
		}
		leader = s.Leader
	}
	for _, r := range c.up() {
		if r.name == leader {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the leader %q does not run", leader)
}

// settle waits until all that run are ready and agree on a leader that does.
func (c *cluster) settle(t testing.TB) *replica {
	t.Helper()
	var leader *replica
	eventually(t, clusterPatience, func() (err error) {
		leader, err = c.led()
		return err
	})
	return leader
}

// follower is one that does not lead.
func (c *cluster) follower(t testing.TB) *replica {
	t.Helper()
	leader := c.settle(t)
	i := slices.IndexFunc(c.up(), func(r *replica) bool { return r != leader })
	if i < 0 {
		t.Fatal("no follower runs")
	}
	return c.up()[i]
}

func (r *replica) pause(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.away = true
}

func (r *replica) resume(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.away = false
}

// agree waits until all that run have the same registry, and list it in the same bytes.
func (c *cluster) agree(t testing.TB) {
	t.Helper()
	c.settle(t)
	eventually(t, clusterPatience, c.agreed)
}

func (c *cluster) agreed() error {
	index, err := c.caughtUp()
	if err != nil {
		return err
	}
	return errors.Join(c.same(fmt.Sprintf("/cluster/fingerprint?index=%d", index)), c.sameListings())
}

// caughtUp returns the index up to which all that run have applied the log, when nothing is on its way.
func (c *cluster) caughtUp() (uint64, error) {
	var index uint64
	for i, r := range c.up() {
		s, err := r.status()
		if err != nil {
			return 0, err
		}
		if i == 0 {
			index = s.AppliedIndex
		}
		if s.AppliedIndex != index || s.CommitIndex != index || s.Registry.Pending > 0 {
			return 0, fmt.Errorf("%s has applied %d of %d and has %d changes pending, another has applied %d",
				r.name, s.AppliedIndex, s.CommitIndex, s.Registry.Pending, index)
		}
	}
	return index, nil
}

// same returns nil when all that run answer a GET alike, to the byte.
func (c *cluster) same(path string) error {
	var first []byte
	for i, r := range c.up() {
		a, err := request(r.client, http.MethodGet, "http://"+r.http+path, "")
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
			return fmt.Errorf("%s: GET %s: %d %s", r.name, path, a.Status, a.Body)
		}
		if i == 0 {
			first = a.Body
		}
		if string(a.Body) != string(first) {
			return fmt.Errorf("GET %s: %s answers %s, another %s", path, r.name, a.Body, first)
		}
	}
	return nil
}

func (c *cluster) sameListings() error {
	if err := errors.Join(c.same("/topics"), c.same("/nodes")); err != nil {
		return err
	}
	topics, err := c.up()[0].topics()
	if err != nil {
		return err
	}
	for _, topic := range topics {
		query := "?topic=" + url.QueryEscape(topic)
		if err := errors.Join(c.same("/lookup"+query), c.same("/channels"+query)); err != nil {
			return err
		}
	}
	return nil
}

// everywhere returns nil when check does for all that run.
func (c *cluster) everywhere(check func(*lookupd) error) error {
	for _, r := range c.up() {
		if err := check(r.lookupd); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// hasRole returns nil when all that run list the replica of that name once, in that role.
func (c *cluster) hasRole(name, role string) error {
	for _, r := range c.up() {
		s, err := r.status()
		if err != nil {
			return err
		}
		var roles []string
		for _, m := range s.Members {
			if m.Name == name {
				roles = append(roles, m.Role)
			}
		}
		if !slices.Equal(roles, []string{role}) {
			return fmt.Errorf("%s lists %s as %v, want %s once", r.name, name, roles, role)
		}
	}
	return nil
}
