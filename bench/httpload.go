package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

var errHTTP = errors.New("cannot read the HTTP answer")

// httpLoad is clients that each keep a connection and ask one thing after another. It reads answers without net/http's
// client, which costs more than the servers do.
type httpLoad struct {
	addresses []string // spread over the clients
	clients   int
	method    string                     // GET if empty
	request   func(client, n int) string // a path
	every     time.Duration              // pause between two requests, 0: none
}

// answered is what came of it.
type answered struct {
	count   int
	bytes   int64 // of bodies
	took    []time.Duration
	ended   []time.Time
	refused int // not answered 200
	wall    time.Duration
}

func (a *answered) rate() float64 { return float64(a.count) / a.wall.Seconds() }

// always asks the same.
func always(request string) func(int, int) string {
	return func(int, int) string { return request }
}

// run asks until the context ends, and each client once at least. To end it is no error.
func (l httpLoad) run(ctx context.Context) (*answered, error) {
	var mu sync.Mutex
	all := &answered{}
	start := time.Now()
	err := atOnce(l.clients, func(client int) error {
		mine, err := l.ask(ctx, client)
		mu.Lock()
		defer mu.Unlock()
		all.count += mine.count
		all.bytes += mine.bytes
		all.refused += mine.refused
		all.took = append(all.took, mine.took...)
		all.ended = append(all.ended, mine.ended...)
		return err
	})
	all.wall = time.Since(start)
	return all, err
}

// runFor asks for a while.
func (l httpLoad) runFor(ctx context.Context, d time.Duration) (*answered, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return l.run(ctx)
}

func (l httpLoad) ask(ctx context.Context, client int) (answered, error) {
	const buffer = 64 << 10
	var a answered
	address := l.addresses[client%len(l.addresses)]
	conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), "tcp", address)
	if err != nil {
		return a, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hangLimit)); err != nil {
		return a, err
	}
	reader := bufio.NewReaderSize(conn, buffer)
	method := cmp.Or(l.method, http.MethodGet) + " "
	var text []byte
	for n := 0; n == 0 || ctx.Err() == nil; n++ {
		request := l.request(client, n)
		text = append(append(append(text[:0], method...), request...), " HTTP/1.1\r\nHost: "...)
		text = append(append(text, address...), "\r\nContent-Length: 0\r\n\r\n"...)
		start := time.Now()
		if _, err := conn.Write(text); err != nil {
			return a, fmt.Errorf("%s: %w", request, err)
		}
		code, size, err := readAnswer(reader)
		if err != nil {
			return a, fmt.Errorf("%s: %w", request, err)
		}
		end := time.Now()
		a.count++
		a.bytes += size
		a.took, a.ended = append(a.took, end.Sub(start)), append(a.ended, end)
		if code != 200 {
			a.refused++
		}
		if l.every > 0 {
			wait(ctx, l.every)
		}
	}
	return a, nil
}

// readAnswer reads one answer and throws its body away.
func readAnswer(r *bufio.Reader) (code int, size int64, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%w: %.40q", errHTTP, line)
	}
	if code, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errHTTP, err)
	}
	length, chunked := int64(-1), false
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return 0, 0, fmt.Errorf("%w: %w", errHTTP, err)
			}
		}
		chunked = chunked || bytes.Equal(line, []byte("Transfer-Encoding: chunked"))
	}
	switch {
	case chunked:
		size, err = discardChunks(r)
	case length >= 0:
		size, err = discard(r, length)
	default:
		err = fmt.Errorf("%w: it says no length", errHTTP)
	}
	return code, size, err
}

func discard(r *bufio.Reader, n int64) (int64, error) {
	done, err := r.Discard(int(n))
	return int64(done), err
}

func discardChunks(r *bufio.Reader) (total int64, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return total, fmt.Errorf("%w: %w", errHTTP, err)
		}
		if _, err := discard(r, size+2); err != nil { // and the end of the line
			return total, err
		}
		if size == 0 {
			return total, nil
		}
		total += size
	}
}
