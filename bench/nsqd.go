package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

const (
	pingEvery = 15 * time.Second // nsqio/nsq, nsqd/lookup.go
	maxAnswer = 512
	// hangLimit ends what would never end. An nsqd hangs up after a second; here a slow answer is
	// waited for, so that the table can show it.
	hangLimit = 5 * time.Minute
)

var errAnswer = errors.New("unexpected answer")

// nsqd is a client that sends its commands one at a time, and PINGs in between. One goroutine uses it.
type nsqd struct {
	conn    net.Conn
	reader  *bufio.Reader
	line    []byte
	answer  [maxAnswer]byte
	pinged  time.Time
	slowest time.Duration
	done    int // commands that were answered
	pending int // of them with E_PENDING: the change is queued, and an nsqd ignores the text
}

// dialNsqd connects and identifies the nsqd of that number.
func dialNsqd(ctx context.Context, address string, number int) (*nsqd, error) {
	const answerBuffer = 256
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect nsqd %d: %w", number, err)
	}
	n := &nsqd{conn: conn, reader: bufio.NewReaderSize(conn, answerBuffer), pinged: time.Now()}
	if err := n.identify(number); err != nil {
		conn.Close()
		return nil, fmt.Errorf("identify nsqd %d: %w", number, err)
	}
	return n, nil
}

func (n *nsqd) identify(number int) error {
	body := fmt.Sprintf(`{"broadcast_address":"nsqd-%06d","hostname":"nsqd-%06d","http_port":4151,"tcp_port":4150,"version":"1.3.0"}`,
		number, number)
	n.line = append(n.line[:0], "  V1IDENTIFY\n"...)
	n.line = binary.BigEndian.AppendUint32(n.line, uint32(len(body)))
	n.line = append(n.line, body...)
	answer, err := n.exchange()
	if err == nil && (len(answer) == 0 || answer[0] != '{') {
		err = fmt.Errorf("%w %q", errAnswer, answer)
	}
	return err
}

// exchange sends the line and returns the answer, which is good until the next.
func (n *nsqd) exchange() ([]byte, error) {
	start := time.Now()
	if err := n.conn.SetDeadline(start.Add(hangLimit)); err != nil {
		return nil, err
	}
	if _, err := n.conn.Write(n.line); err != nil {
		return nil, err
	}
	size := n.answer[:4]
	if _, err := io.ReadFull(n.reader, size); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(size)
	if length > maxAnswer {
		return nil, fmt.Errorf("%w of %d bytes", errAnswer, length)
	}
	answer := n.answer[:length]
	_, err := io.ReadFull(n.reader, answer)
	n.slowest = max(n.slowest, time.Since(start))
	return answer, err
}

func (n *nsqd) command() error {
	answer, err := n.exchange()
	if err != nil {
		return fmt.Errorf("%.20q: %w", n.line, err)
	}
	n.done++
	switch {
	case string(answer) == "OK":
		return nil
	case len(answer) > 9 && string(answer[:9]) == "E_PENDING":
		n.pending++
		return nil
	}
	return fmt.Errorf("%.20q: %w %q", n.line, errAnswer, answer)
}

// register sends one REGISTER, and a PING before it when one is due.
func (n *nsqd) register(topic, channel string) error {
	if time.Since(n.pinged) > pingEvery {
		if err := n.ping(); err != nil {
			return err
		}
	}
	n.line = append(n.line[:0], "REGISTER "...)
	n.line = append(n.line, topic...)
	n.line = append(n.line, ' ')
	n.line = append(n.line, channel...)
	n.line = append(n.line, '\n')
	return n.command()
}

func (n *nsqd) ping() error {
	n.pinged = time.Now()
	n.line = append(n.line[:0], "PING\n"...)
	return n.command()
}

// pingOn sends PINGs from a moment of its own on, as nsqds that were not started together do.
func (n *nsqd) pingOn(ctx context.Context, every time.Duration) error {
	for ok := wait(ctx, rand.N(every)); ok; ok = wait(ctx, every) {
		if err := n.ping(); err != nil {
			return err
		}
	}
	return nil
}
