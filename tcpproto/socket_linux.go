package tcpproto

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpClose is the state of a socket whose connection was reset (TCP_CLOSE, linux/tcp_states.h).
const tcpClose = 7

// lookAt asks the kernel about the socket. A connection that has none, as in tests, has nothing on its way.
func lookAt(nc net.Conn) peerState {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return peerHasAll
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return peerReset // it is closed
	}
	var info *unix.TCPInfo
	var failed error
	if err := raw.Control(func(fd uintptr) {
		info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil {
		return peerReset
	}
	if failed != nil {
		return peerUnknown
	}
	return stateOf(info)
}

// stateOf returns what the kernel's account of a socket means.
func stateOf(info *unix.TCPInfo) peerState {
	switch {
	case info.State == tcpClose:
		return peerReset
	case info.Unacked > 0 || info.Notsent_bytes > 0:
		return peerWaits
	}
	return peerHasAll
}
