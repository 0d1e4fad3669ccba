package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"sync"
)

// Node is a namespace with one address.
type Node struct {
	Name, IP string
	Dir      string // what its programs write is below it

	namespace string
	mu        sync.Mutex
	processes []*Process
}

// wire gives the node its address, through a pair of interfaces whose other end is a port of the hub's bridge.
func (n *Node) wire(hub, port string) error {
	if err := ip("link", "add", "name", port, "netns", hub, "type", "veth", "peer", "name", "eth0", "netns", n.namespace); err != nil {
		return err
	}
	return errors.Join(
		ip("-n", hub, "link", "set", port, "master", "br0", "up"),
		ip("-n", n.namespace, "address", "add", n.IP+"/24", "dev", "eth0"),
		ip("-n", n.namespace, "link", "set", "lo", "up"),
		ip("-n", n.namespace, "link", "set", "eth0", "up"))
}

// command returns a command that runs in the node. `ip netns exec` becomes the program, so its process is the
// program's.
func (n *Node) command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.namespace, program}, args...)...)
}

// filter replaces the node's packet filter.
func (n *Node) filter(rules []byte) error {
	cmd := n.command("nft", "-f", "-")
	cmd.Stdin = bytes.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft at %s: %w: %s", n.Name, err, out)
	}
	return nil
}

func (n *Node) killAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.processes {
		p.Kill()
	}
	n.processes = nil
}
