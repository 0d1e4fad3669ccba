package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// subnet is the network of every lab: a lab's bridge is in a namespace of its own, so labs may use the same addresses.
const (
	subnet     = "10.99.0."
	hubAddress = subnet + "254"
	maxNodes   = 200
)

// Lab is a bridge, and the nodes that are wired to it.
type Lab struct {
	prefix string // of its namespaces' names
	hub    string // the namespace with the bridge
	dir    string // what its nodes write

	mu    sync.Mutex
	nodes []*Node
	links map[int]Links // that are cut, by the number of the cut
	cuts  int           // made so far
}

// New makes a lab. No two labs of a process that are open at once have the same name. Its nodes write below dir.
// Leftovers of processes that did not close their labs are removed first.
func New(name, dir string) (*Lab, error) {
	if err := Sweep(); err != nil {
		return nil, err
	}
	owner, err := self()
	if err != nil {
		return nil, err
	}
	l := &Lab{prefix: owner.prefix() + name + "-", dir: dir, links: map[int]Links{}}
	l.hub = l.prefix + "hub"
	if err := l.makeHub(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) makeHub() error {
	if err := ip("netns", "add", l.hub); err != nil {
		return err
	}
	return errors.Join(
		ip("-n", l.hub, "link", "add", "br0", "type", "bridge"),
		ip("-n", l.hub, "address", "add", hubAddress+"/24", "dev", "br0"),
		ip("-n", l.hub, "link", "set", "br0", "up"))
}

// Add makes a node.
func (l *Lab) Add(name string) (*Node, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number := len(l.nodes) + 1
	if number > maxNodes {
		return nil, fmt.Errorf("a lab has at most %d nodes", maxNodes)
	}
	n := &Node{Name: name, IP: fmt.Sprint(subnet, number), Dir: filepath.Join(l.dir, name), namespace: l.prefix + name}
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := ip("netns", "add", n.namespace); err != nil {
		return nil, err
	}
	l.nodes = append(l.nodes, n) // from here on Close removes it
	return n, n.wire(l.hub, fmt.Sprint("port", number))
}

// Close ends all programs and removes the namespaces. Files stay.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		n.killAll()
	}
	l.nodes = nil
	return remove(func(name string) bool { return strings.HasPrefix(name, l.prefix) })
}

// Client returns an HTTP client whose connections begin at the lab's bridge. A request takes at most timeout.
func (l *Lab) Client(timeout time.Duration) *http.Client {
	dialer := net.Dialer{Timeout: timeout}
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		inside := within(l.hub, func() { conn, err = dialer.DialContext(ctx, network, address) })
		return conn, errors.Join(inside, err)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: timeout}
}

// ip runs the command of that name.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
