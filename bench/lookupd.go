package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// lookupd is an nsqlookupd or a raftlookupd, which can be started again with the same arguments.
type lookupd struct {
	*process
	name, bin string
	args      []string
	dir       string // its log, and for a replica its data
	tcp, http string // addresses
	ready     string // path that answers 200 when it serves
}

// start starts it, for the first time or again, without waiting.
func (l *lookupd) start(ctx context.Context) (err error) {
	l.process, err = startProcess(ctx, l.dir, l.name, l.bin, l.args...)
	return err
}

// answerLimit is how long a request outside of measurements may take.
const answerLimit = 10 * time.Second

// get decodes the JSON that a path answers; out may be nil.
func (l *lookupd) get(ctx context.Context, path string, out any) error {
	body, err := l.request(ctx, http.MethodGet, path)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s: decode %s: %w", l.name, path, err)
	}
	return nil
}

func (l *lookupd) post(ctx context.Context, path string) error {
	_, err := l.request(ctx, http.MethodPost, path)
	return err
}

func (l *lookupd) request(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.http+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer to %s: %w", l.name, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %s: %d %.200s", l.name, method, path, resp.StatusCode, body)
	}
	return body, nil
}

func (l *lookupd) serves(ctx context.Context) error {
	if err := l.alive(); err != nil {
		return err
	}
	return l.get(ctx, l.ready, nil)
}

// status is the part of /cluster/status that the bench looks at.
type status struct {
	Leader       string `json:"leader"`
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	Registry     struct {
		Topics   int `json:"topics"`
		Channels int `json:"channels"`
		Pending  int `json:"pending"`
	} `json:"registry"`
}

func (l *lookupd) status(ctx context.Context) (status, error) {
	var s status
	err := l.get(ctx, "/cluster/status", &s)
	return s, err
}
