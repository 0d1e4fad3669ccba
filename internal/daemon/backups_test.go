package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/cluster"
)

// send posts a body and returns the answer.
func (r *running) send(path, body string) (code int, answer string) {
	r.t.Helper()
	response, err := client.Post("http://"+r.Addresses().HTTP+path, "application/octet-stream", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

// A registry is saved from one cluster, and restored there and in another one.
func TestSnapshotAndRestore(t *testing.T) {
	r := start(t, testConfig(t, "r1"))
	n, _ := r.identified(4150)
	n.ok("REGISTER live channel")
	r.post("/channel/create?topic=made&channel=c")
	code, file := r.get("/cluster/snapshot")
	if code != http.StatusOK || !strings.HasPrefix(file, "raftlookupd-snapshot 1\n") {
		t.Fatalf("%d %.100q", code, file)
	}
	r.post("/topic/delete?topic=made")
	r.post("/topic/create?topic=surplus")
	code, body := r.send("/cluster/restore", file)
	want := `{"message":"RESTORED","topics_created":1,"channels_created":1,"topics_removed":1,"channels_removed":0,` +
		`"topics_kept":0,"channels_kept":0,"index":`
	if code != http.StatusOK || !strings.HasPrefix(body, want) {
		t.Errorf("%d %s", code, body)
	}
	if _, topics := r.get("/topics"); topics != `{"topics":["live","made"]}` || !r.lists("live", 4150) {
		t.Errorf("topics %s", topics)
	}

	other := start(t, testConfig(t, "r1"))
	for _, c := range []struct {
		path, file string
		code       int
		message    string
	}{
		{"/cluster/restore", file, 409, "FOREIGN_SNAPSHOT"},
		{"/cluster/restore?force=true", file[:len(file)-1], 400, "BAD_SNAPSHOT"},
		{"/cluster/restore", "", 400, "BAD_SNAPSHOT"},
		{"/cluster/restore", strings.Replace(file, "snapshot 1\n", "snapshot 2\n", 1), 400, "BAD_SNAPSHOT"},
	} {
		code, body := other.send(c.path, c.file)
		if code != c.code || !strings.HasPrefix(body, `{"message":"`+c.message+`","reason":"nothing was restored`) {
			t.Errorf("%s: %d %s", c.path, code, body)
		}
	}
	if _, topics := other.get("/topics"); topics != `{"topics":[]}` {
		t.Errorf("topics %s after refusals", topics)
	}
	if code, body := other.send("/cluster/restore?force=true", file); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if _, topics := other.get("/topics"); topics != `{"topics":["live","made"]}` || other.lists("live", 4150) {
		t.Errorf("topics %s of another cluster", topics)
	}
}

// Each error of a backup has the status that it is answered with.
func TestStatusOfBackupErrors(t *testing.T) {
	for err, want := range map[error]int{
		cluster.ErrBadBackup: 400, cluster.ErrForeignBackup: 409, cluster.ErrRestoring: 409,
		cluster.ErrNotReady: 503, cluster.ErrNoLeader: 503, cluster.ErrNotCommitted: 503, cluster.ErrClosed: 503,
	} {
		var answers interface {
			Answer() (code int, message, reason string)
		}
		wrapped := asBackupRefusal(fmt.Errorf("around: %w", err))
		if !errors.As(wrapped, &answers) || !errors.Is(wrapped, err) {
			t.Fatalf("%v becomes %v", err, wrapped)
		}
		if code, message, reason := answers.Answer(); code != want || message == "" || reason != "around: "+err.Error() {
			t.Errorf("%v is answered %d %s %s", err, code, message, reason)
		}
	}
	if err := asBackupRefusal(io.ErrClosedPipe); err != io.ErrClosedPipe {
		t.Errorf("an error without a word for clients becomes %v", err)
	}
	if asBackupRefusal(nil) != nil {
		t.Error("nil becomes an error")
	}
}
