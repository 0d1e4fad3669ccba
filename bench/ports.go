package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Ports are handed out from below 32768, where Linux begins to take ports for outgoing connections: so none is taken by
// a connection between its choice and its use, nor between a stop and a restart.
const (
	firstPort = 20000
	portCount = 12000
)

// portPicker never hands out a port twice in a row.
type portPicker struct{ next int }

func newPortPicker() *portPicker { return &portPicker{next: os.Getpid() * 101 % portCount} }

// free returns 127.0.0.1:port where neither TCP nor UDP is in use.
func (p *portPicker) free() (string, error) {
	for range portCount {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+p.next)
		p.next = (p.next + 1) % portCount
		if isFree(address) {
			return address, nil
		}
	}
	return "", errors.New("no free port")
}

// several returns so many of them.
func (p *portPicker) several(n int) ([]string, error) {
	var all []string
	for range n {
		address, err := p.free()
		if err != nil {
			return nil, err
		}
		all = append(all, address)
	}
	return all, nil
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
	return p.Close() == nil
}
