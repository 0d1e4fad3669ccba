package e2e

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports are handed out from below 32768, where Linux begins to take ports for outgoing connections:
// so none is taken by a connection between its choice and its use, nor between a stop and a restart.
const (
	firstPort = 20000
	portCount = 12000
)

type portPicker struct {
	mu   sync.Mutex
	next int
}

var ports = portPicker{next: os.Getpid() * 101 % portCount} // far from another test process

// freeAddress returns 127.0.0.1:port where neither TCP nor UDP is in use, never twice the same.
func freeAddress(t testing.TB) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range portCount {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+ports.next)
		ports.next = (ports.next + 1) % portCount
		if isFree(address) {
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func isFree(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	p.Close()
	return true
}
