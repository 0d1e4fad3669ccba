package ctl

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// oldLookupd is an nsqlookupd of before 1.0 that says what the other one does not.
func oldLookupd(t *testing.T) *fake {
	t.Helper()
	envelope := func(data string) http.HandlerFunc {
		return ok(`{"status_code":200,"status_txt":"OK","data":` + data + `}`)
	}
	return serve(t, routes{
		"GET /topics":             envelope(`{"topics":["old","shared"]}`),
		"GET /channels?topic=old": envelope(`{"channels":["o"]}`), "GET /channels?topic=shared": envelope(`{"channels":["x"]}`),
		"GET /nodes": envelope(`{"producers":[{"broadcast_address":"n1","tcp_port":4150,"http_port":4151,"topics":["old","shared"],"tombstones":[true,true]}]}`),
	})
}

func newLookupd(t *testing.T) *fake {
	t.Helper()
	return serve(t, routes{
		"GET /topics":                          ok(`{"topics":["shared","temp#ephemeral","new"]}`),
		"GET /channels?topic=shared":           ok(`{"channels":["x","y","tail#ephemeral"]}`),
		"GET /channels?topic=new":              ok(`{"channels":[]}`),
		"GET /channels?topic=temp%23ephemeral": ok(`{"channels":["z"]}`),
		"GET /nodes": ok(`{"producers":[{"broadcast_address":"n1","tcp_port":4150,"http_port":4151,"topics":["shared"],"tombstones":[false]},` +
			`{"broadcast_address":"n2","tcp_port":4150,"http_port":4151,"topics":["shared","new","temp#ephemeral"],"tombstones":[true,true,true]}]}`),
	})
}

// cluster has topic shared with channel x, and n1 and n2 for it, n2 tombstoned.
func cluster(t *testing.T) *fake {
	t.Helper()
	return serve(t, routes{
		"GET /topics":                ok(`{"topics":["shared","mine"]}`),
		"GET /channels?topic=shared": ok(`{"channels":["x"]}`),
		"GET /nodes": ok(`{"producers":[{"broadcast_address":"n1","tcp_port":4150,"http_port":4151,"topics":["shared"],"tombstones":[false]},` +
			`{"broadcast_address":"n2","tcp_port":4150,"http_port":4151,"topics":["shared"],"tombstones":[true]}]}`),
		"POST /topic/create": ok(""), "POST /channel/create": ok(""), "POST /topic/tombstone": ok(""),
	})
}

const importTable = `            FOUND  CREATED  ALREADY THERE  SKIPPED
topics      4      2        1              1 ephemeral
channels    5      2        1              2 ephemeral
tombstones  5      1        1              1 ephemeral, 2 of producers that are not registered here
`

func TestImport(t *testing.T) {
	a, from := cluster(t), oldLookupd(t).URL+","+newLookupd(t).URL
	dry := strings.ReplaceAll(importTable, "CREATED", "TO CREATE")
	dry = strings.NewReplacer("2        1 ", "2          1 ", "1        1 ", "1          1 ").Replace(dry)
	lookupctl(t, a, "import", "--dry-run", "--from", from).want(t, 0, dry, "")
	if calls := a.asked("POST"); len(calls) != 0 {
		t.Errorf("a dry run posted %q", calls)
	}
	lookupctl(t, a, "import", "--from", from).want(t, 0, importTable, "")
	calls := a.asked("POST")
	slices.Sort(calls)
	if got, want := strings.Join(calls, " "), "/channel/create?channel=o&topic=old /channel/create?channel=y&topic=shared "+
		"/topic/create?topic=new /topic/create?topic=old /topic/tombstone?node=n1%3A4151&topic=shared"; got != want {
		t.Errorf("posted %s, want %s", got, want)
	}
	for _, call := range a.asked("GET") {
		if call == "/channels?topic=mine" {
			t.Error("it asks for channels of a topic that is not imported")
		}
	}
}

func TestImportJSON(t *testing.T) {
	a, o := cluster(t), oldLookupd(t)
	r := &run{names: []string{o.URL, "O"}}
	r.do(t, "--addr", a.URL, "-o", "json", "import", "--from", o.URL).want(t, 0, `{"from":["O"],"dry_run":false,`+
		`"topics":{"found":2,"created":1,"already":1,"skipped":{}},"channels":{"found":2,"created":1,"already":1,"skipped":{}},`+
		`"tombstones":{"found":2,"created":1,"already":0,"skipped":{"not_registered":1}}}`+"\n", "")
}

func TestImportSkipsWhatIsRefused(t *testing.T) {
	a := cluster(t)
	a.set("POST /topic/create?topic=new", reply(400, `{"message":"INVALID_ARG_TOPIC"}`))
	r := lookupctl(t, a, "import", "--from", newLookupd(t).URL)
	if r.code != 0 || !strings.Contains(r.stdout.String(), "topics      3      0        1              1 ephemeral, 1 with names that are refused\n") {
		t.Errorf("exit code %d, %s%s", r.code, r.stdout.String(), r.stderr.String())
	}
}

// Without a leader for a moment it goes on afterwards.
func TestImportInsists(t *testing.T) {
	a := cluster(t)
	lost := reply(503, `{"message":"NO_LEADER"}`)
	a.set("POST /topic/create", inOrder(lost, hangUp, lost, ok("")))
	lookupctl(t, a, "import", "--from", oldLookupd(t).URL).want(t, 0, `            FOUND  CREATED  ALREADY THERE  SKIPPED
topics      2      1        1              0
channels    2      1        1              0
tombstones  2      1        0              1 of producers that are not registered here
`, "")
	if n := len(a.asked("POST")); n != 6 {
		t.Errorf("%d posts", n)
	}
}

func TestImportThatFails(t *testing.T) {
	t.Parallel()
	a, gone := cluster(t), dead(t)
	r := &run{names: []string{gone, "GONE", strings.TrimPrefix(gone, "http://"), "GONE"}}
	r.do(t, "--addr", a.URL, "import", "--from", oldLookupd(t).URL+","+gone).want(t, 1, "",
		"lookupctl: read from GONE: dial tcp GONE: connect: connection refused; nothing was changed: start it, or leave it out of --from\n")
	bad := oldLookupd(t)
	bad.set("GET /nodes", ok(`{"nodes":[]}`))
	r = &run{names: []string{bad.host(), "bad"}}
	r.do(t, "--addr", a.URL, "import", "--from", bad.URL).want(t, 1, "",
		`lookupctl: read from http://bad: http://bad answers "{\"nodes\":[]}" without "producers" to /nodes; is it the HTTP address of a raftlookupd?; nothing was changed: start it, or leave it out of --from`+"\n")
	if n := len(a.asked("POST")); n != 0 {
		t.Errorf("%d posts", n)
	}
	a.set("POST /channel/create", reply(503, `{"message":"NO_LEADER"}`))
	lookupctl(t, a, "--timeout", "300ms", "import", "--from", oldLookupd(t).URL).want(t, 1, "",
		"lookupctl: create channels: http://a answers NO_LEADER: no leader is known; see who is up with 'lookupctl members', then try again; "+
			"1 topic and 0 channels were created before that, and running it again goes on from there\n")
	a.set("GET /nodes", reply(503, `{"message":"NOT_READY"}`))
	lookupctl(t, a, "import", "--from", oldLookupd(t).URL).want(t, 1, "",
		"lookupctl: read what there is here: http://a answers NOT_READY: it has not caught up since its start; try again, or give another replica with --addr; nothing was changed\n")
}

func TestImportProgress(t *testing.T) {
	a := cluster(t)
	a.set("POST /topic/create", hang)
	r := &run{pace: func(p *pace) { p.progressEvery = time.Millisecond }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.do(t, "--addr", a.URL, "import", "--from", oldLookupd(t).URL)
	}()
	eventually.True(t, patience, "progress", func() error {
		if !strings.Contains(r.stderr.String(), "creating topics: 0 of 1\n") {
			return errors.New(r.stderr.String())
		}
		return nil
	})
	a.set("POST /topic/create", ok(""))
	a.CloseClientConnections()
	<-done
	if r.code != 0 {
		t.Errorf("exit code %d, %s", r.code, r.stderr.String())
	}
}
