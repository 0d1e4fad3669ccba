package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// difference is an answer of raftlookupd's that is not nsqlookupd's.
type difference struct{ to, nsqlookupd, raftlookupd string }

func (d *difference) Error() string {
	return fmt.Sprintf("answers to %s differ\n--- nsqlookupd\n%s\n--- raftlookupd\n%s", d.to, d.nsqlookupd, d.raftlookupd)
}

// compare returns a *difference, or nil.
func compare(to, nsqlookupd, raftlookupd string) error {
	if nsqlookupd == raftlookupd {
		return nil
	}
	return &difference{to, nsqlookupd, raftlookupd}
}

// twins are nsqlookupd and raftlookupd, to which the same is done.
type twins struct {
	oracle, ours *lookupd
}

func startTwins(t *testing.T, args ...string) twins {
	t.Helper()
	return twins{startNsqlookupd(t, args...), startRaftlookupd(t, args...)}
}

// both calls f for the two of them.
func (w twins) both(f func(*lookupd) error) error {
	for _, l := range []*lookupd{w.oracle, w.ours} {
		if err := f(l); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// readWait is how long raftlookupd's reads wait for what it has said OK to. On a disk that stalls for
// longer, a read may be stale, and is asked again.
const readWait = 250 * time.Millisecond

// request makes the same request to both and compares the answers.
func (w twins) request(method, target, body string) error {
	theirs, _, err := w.oracle.canonical(method, target, body)
	if err != nil {
		return err
	}
	for start := time.Now(); ; {
		ours, took, err := w.ours.canonical(method, target, body)
		if err != nil {
			return err
		}
		differ := compare(fmt.Sprintf("%s %s (after %v)", method, target, took), theirs, ours)
		if differ == nil || method != http.MethodGet || took < readWait || time.Since(start) > patience {
			return differ
		}
	}
}

// canonical returns an answer in canonical form, and how long it took.
func (l *lookupd) canonical(method, target, body string) (string, time.Duration, error) {
	start := time.Now()
	a, err := request(l.client, method, "http://"+l.http+target, body)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %s %s: %w", l.name, method, target, err)
	}
	path, _, _ := strings.Cut(target, "?")
	return canonicalAnswer(path, a), time.Since(start), nil
}

// rawRequest sends bytes that no HTTP client would make.
func (w twins) rawRequest(text string) error {
	var got []string
	err := w.both(func(l *lookupd) error {
		a, err := rawRequest(l.http, text)
		got = append(got, canonicalAnswer("", a))
		return err
	})
	if err != nil {
		return fmt.Errorf("request %q: %w", text, err)
	}
	return compare(fmt.Sprintf("%q", text), got[0], got[1])
}

func rawRequest(address, text string) (answer, error) {
	c, err := net.DialTimeout("tcp", address, answerTimeout)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return answer{}, err
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return answer{}, err
	}
	method, _, _ := strings.Cut(text, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp)
}

// listings compares everything that can be listed. The topics asked about are those that nsqlookupd
// lists or still has channels of, and more.
func (w twins) listings(more ...string) error {
	for _, target := range []string{"/topics", "/nodes", "/debug"} {
		if err := w.request(http.MethodGet, target, ""); err != nil {
			return err
		}
	}
	topics, err := w.knownTopics(more)
	if err != nil {
		return err
	}
	for topic := range topics {
		query := "?topic=" + url.QueryEscape(topic)
		if err := w.request(http.MethodGet, "/lookup"+query, ""); err != nil {
			return err
		}
		if err := w.request(http.MethodGet, "/channels"+query, ""); err != nil {
			return err
		}
	}
	return nil
}

func (w twins) knownTopics(more []string) (map[string]bool, error) {
	known := map[string]bool{}
	for _, topic := range more {
		known[topic] = true
	}
	listed, err := w.oracle.topics()
	if err != nil {
		return nil, err
	}
	for _, topic := range listed {
		known[topic] = true
	}
	rows, err := w.oracle.debugRows()
	for row := range rows {
		if parts := strings.Split(row, ":"); parts[0] != "client" {
			known[parts[1]] = true
		}
	}
	return known, err
}

var errNotEmpty = errors.New("registry is not empty after a reset")

// reset empties both registries, once all connections are closed.
func (w twins) reset() error {
	return w.both(func(l *lookupd) error {
		if err := l.post("/topic/delete?topic=*"); err != nil {
			return err
		}
		return poll(patience, func() error {
			topics, err := l.topics()
			if err != nil {
				return err
			}
			rows, err := l.debugRows()
			if err != nil {
				return err
			}
			if len(topics) > 0 || len(rows) > 0 {
				return fmt.Errorf("%w: topics %v, rows %v", errNotEmpty, topics, rows)
			}
			return nil
		})
	})
}
