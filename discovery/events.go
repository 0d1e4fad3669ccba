package discovery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// maxAnswer is the longest event, or answer to /lookup: 10,000 producers are about 2.5 MB.
const maxAnswer = 16 << 20

var errTooLong = errors.New("longer than 16 MiB")

// event is one server-sent event, as far as it matters here. A heartbeat is one without a kind.
type event struct {
	kind string
	data []byte // until the next event is read
}

// eventReader reads server-sent events (WHATWG HTML, 9.2): lines that end with \n, data in one of them.
type eventReader struct {
	lines *bufio.Reader
	line  []byte
	data  []byte
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{lines: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next event or comment. It blocks as the reader does.
func (r *eventReader) next() (event, error) {
	e := event{}
	r.data = r.data[:0]
	for {
		line, err := r.readLine()
		if err != nil {
			return event{}, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0 && e.kind != "":
			e.data = r.data
			return e, nil
		case len(line) > 0 && len(name) == 0: // a comment
			return event{}, nil
		case string(name) == "event":
			e.kind = string(value)
		case string(name) == "data":
			r.data = append(r.data[:0], value...)
		}
	}
}

// readLine returns a line without its end, until the next call.
func (r *eventReader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(r.line)+len(part) > maxAnswer {
			return nil, errTooLong
		}
		r.line = append(r.line, part...)
		if err == nil {
			return bytes.TrimSuffix(r.line[:len(r.line)-1], []byte("\r")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// addressesIn returns the addresses of the producers in an answer to /lookup, or in a topic event. What
// cannot be an address is left out.
func addressesIn(data []byte) ([]string, error) {
	var answer struct {
		Producers []struct {
			Address string `json:"broadcast_address"`
			Port    int    `json:"tcp_port"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("read producers: %w", err)
	}
	const maxPort = 1<<16 - 1
	var addresses []string
	for _, p := range answer.Producers {
		if p.Address != "" && p.Port > 0 && p.Port <= maxPort {
			addresses = append(addresses, net.JoinHostPort(p.Address, strconv.Itoa(p.Port)))
		}
	}
	return addresses, nil
}
