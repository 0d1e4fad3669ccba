package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// watch asks all replicas for a topic every 10 ms, until the returned function is called. Each answer must show
// exactly these producers, and at each time one replica must give one.
func (w *crowd) watch(t *testing.T, topic string, want ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	answers, silent := 0, 0
	var urls []string
	for _, r := range w.replicas {
		urls = append(urls, "http://"+r.http+"/lookup?topic="+url.QueryEscape(topic))
	}
	var first, last string
	gaps := 0
	gap := func(what string) {
		gaps++
		last = time.Now().Format(time.StampMilli) + ": " + what
		if gaps == 1 {
			first = last
		}
	}
	wg.Go(func() {
		client := newHTTPClient()
		client.Timeout = time.Second
		defer client.CloseIdleConnections()
		for ctx.Err() == nil {
			n := 0
			for _, u := range urls {
				a, err := request(client, http.MethodGet, u, "")
				if err != nil || a.Status == http.StatusServiceUnavailable {
					continue
				}
				n++
				var found lookupAnswer
				if err := json.Unmarshal(a.Body, &found); err != nil || !sameSet(keys(found.Producers), want) {
					gap(fmt.Sprintf("%s answers %d with %v, %v; want %v", u, a.Status, keys(found.Producers), err, want))
				}
			}
			answers += n
			if n == 0 {
				silent++
			}
			wait(ctx, pollInterval)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		t.Logf("%d answers", answers)
		if gaps > 0 {
			t.Errorf("%d answers show a gap, from\n%s\nto\n%s", gaps, first, last)
		}
		if silent > 0 {
			t.Errorf("%d times no replica answered", silent)
		}
	}
}
