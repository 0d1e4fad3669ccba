package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

const (
	magic         = "  V1"
	maxAnswer     = 1 << 20
	answerTimeout = 5 * time.Second
)

// conn is a client of the TCP protocol that does what it is told, right or wrong. Its methods return
// errors, so that any goroutine may use it.
type conn struct {
	net.Conn
	timeout time.Duration // of each command
}

// dial connects and says nothing.
func dial(address string) (*conn, error) {
	c, err := net.DialTimeout("tcp", address, answerTimeout)
	if err != nil {
		return nil, err
	}
	return &conn{c, answerTimeout}, nil
}

// open connects and sends the magic.
func open(address string) (*conn, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	return c, c.send(magic)
}

func (c *conn) send(text string) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c, text)
	return err
}

// answer reads one answer: a four-byte length and so many bytes.
func (c *conn) answer() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	var size uint32
	if err := binary.Read(c, binary.BigEndian, &size); err != nil {
		return "", err
	}
	if size > maxAnswer {
		return "", fmt.Errorf("answer of %d bytes", size)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(c, body)
	return string(body), err
}

// command sends one line and returns the answer.
func (c *conn) command(line string) (string, error) {
	if err := c.send(line + "\n"); err != nil {
		return "", err
	}
	return c.answer()
}

// expectOK sends one line that must be answered OK.
func (c *conn) expectOK(line string) error {
	got, err := c.command(line)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	if got != "OK" {
		return fmt.Errorf("%s: answered %q", line, got)
	}
	return nil
}

// identify sends IDENTIFY with a body and returns the answer.
func (c *conn) identify(body string) (string, error) {
	if err := c.send(identifyBytes(body)); err != nil {
		return "", err
	}
	return c.answer()
}

func identifyBytes(body string) string {
	return string(binary.BigEndian.AppendUint32([]byte("IDENTIFY\n"), uint32(len(body)))) + body
}

// isClosed waits for the other side to close, and reports whether it did in time.
func (c *conn) isClosed(within time.Duration) (bool, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return false, err
	}
	n, err := c.Read(make([]byte, 1))
	switch {
	case n > 0:
		return false, errors.New("an answer instead of the end")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return false, err
}

// identity is the body with which an nsqd identifies itself.
func identity(address string, tcpPort, httpPort int) string {
	return fmt.Sprintf(`{"broadcast_address":%q,"hostname":%q,"tcp_port":%d,"http_port":%d,"version":"1.3.0"}`,
		address, address, tcpPort, httpPort)
}

// connect opens a connection that is identified as the producer address:4150 and has the registrations.
func connect(l *lookupd, address string, registrations ...string) (*conn, error) {
	c, err := open(l.tcp)
	if err != nil {
		return nil, err
	}
	if _, err := c.identify(identity(address, 4150, 4151)); err != nil {
		c.Close()
		return nil, fmt.Errorf("identify: %w", err)
	}
	for _, r := range registrations {
		if err := c.expectOK("REGISTER " + r); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// mustConnect is connect for the test's own goroutine; the connection ends with the test.
func mustConnect(t *testing.T, l *lookupd, address string, registrations ...string) *conn {
	t.Helper()
	c, err := connect(l, address, registrations...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
