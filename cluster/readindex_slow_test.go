package cluster

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// A leader whose registry is behind answers so before the question is given up: else its followers would
// take it for silent, and send their nsqds away.
func TestLeaderThatIsBehindAnswers(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	r.fresh.leader = newRounds(func(context.Context) (uint64, error) { return 0, nil }) // nothing runs it
	mux := http.NewServeMux()
	r.answerNumbers(mux)
	s := httptest.NewServer(mux)
	defer s.Close()
	client := &http.Client{Timeout: callTimeout}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.URL + readIndexPath + "?level=" + consistency.Leader.String())
	if err != nil {
		t.Fatalf("it does not answer: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s %s, error %v", resp.Status, body, err)
	}
}
