package reference

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/daemon"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

const soon = 20 * time.Second

// start runs one replica with an nsqd that has channel archive of topic greetings, as in the examples.
func start(t *testing.T) *daemon.Daemon {
	t.Helper()
	c := config.Default("r1")
	c.TCPAddress, c.HTTPAddress, c.BroadcastAddress = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"
	c.ClusterAddress, c.GossipAddress = "127.0.0.1:0", "127.0.0.1:0"
	c.ClusterAdvertiseAddress, c.GossipAdvertiseAddress = "127.0.0.1", "127.0.0.1"
	c.DataPath, c.RaftTimeout = t.TempDir(), 50*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	d := daemon.New(c, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually.True(t, soon, "replica ready", func() error {
		code, body, err := ask(d, "GET /readyz", nil)
		if err == nil && code != http.StatusOK {
			err = errors.New(string(body))
		}
		return err
	})
	register(t, d.Addresses().TCP)
	return d
}

// register is an nsqd until the test ends.
func register(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const info = `{"broadcast_address":"web1","hostname":"web1","tcp_port":4150,"http_port":4151,"version":"1.3.0"}`
	identify := string(binary.BigEndian.AppendUint32([]byte("  V1IDENTIFY\n"), uint32(len(info)))) + info
	for _, say := range []string{identify, "REGISTER greetings archive\n"} {
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		var size uint32
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(size)); err != nil {
			t.Fatal(err)
		}
	}
}

// ask makes a request of a method and a path.
func ask(d *daemon.Daemon, what string, body []byte) (code int, answer []byte, err error) {
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequest(method, "http://"+d.Addresses().HTTP+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	client := http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}

// What the pages say is answered is what a replica answers.
func TestPagesSayWhatAReplicaAnswers(t *testing.T) {
	d := start(t)
	for _, c := range []struct{ what, word string }{
		{"GET /lookup", "MISSING_ARG_TOPIC"},
		{"GET /lookup?topic=nothing", "TOPIC_NOT_FOUND"},
		{"GET /lookup?topic=%zz", "INVALID_REQUEST"},
		{"GET /channels", "MISSING_ARG_TOPIC"},
		{"GET /nothing", "NOT_FOUND"},
		{"POST /lookup", "METHOD_NOT_ALLOWED"},
		{"POST /topic/create?topic=a*b", "INVALID_ARG_TOPIC"},
		{"POST /topic/delete", "MISSING_ARG_TOPIC"},
		{"POST /topic/tombstone?topic=a", "MISSING_ARG_NODE"},
		{"POST /channel/create?topic=a", "MISSING_ARG_CHANNEL"},
		{"POST /channel/create?topic=a&channel=*", "INVALID_ARG_CHANNEL"},
		{"POST /channel/delete?topic=*&channel=a", "INVALID_ARG_TOPIC"},
		{"POST /channel/delete?topic=greetings&channel=nothing", "CHANNEL_NOT_FOUND"},
		{"GET /cluster/fingerprint?index=x", "INVALID_ARG_INDEX"},
		{"GET /cluster/fingerprint?index=999999999", "INDEX_NOT_REACHED"},
		{"POST /cluster/join", "MISSING_ARG_ADDRESS"},
		{"POST /cluster/join?address=127.0.0.1:1", "JOIN_REFUSED"},
		{"POST /cluster/leave", "LEAVE_REFUSED"},
		{"POST /cluster/leave?force=perhaps", "INVALID_ARG_FORCE"},
		{"POST /cluster/remove", "MISSING_ARG_NAME"},
		{"POST /cluster/remove?name=r9", "NO_SUCH_REPLICA"},
		{"POST /cluster/remove?name=r1", "REMOVE_REFUSED"},
		{"POST /cluster/transfer", "TRANSFER_REFUSED"},
		{"POST /cluster/transfer?name=r9", "NO_SUCH_REPLICA"},
		{"POST /cluster/restore", "BAD_SNAPSHOT"},
		{"POST /cluster/restore?force=2", "INVALID_ARG_FORCE"},
	} {
		code, body, err := ask(d, c.what, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Message string }
		if err := json.Unmarshal(body, &got); err != nil || got.Message != c.word {
			t.Errorf("%s: %d %s, want %s", c.what, code, body, c.word)
			continue
		}
		m := messages()[slices.IndexFunc(messages(), func(m told) bool { return m.word == c.word })]
		route, _, _ := strings.Cut(c.what, "?")
		if m.code != code {
			t.Errorf("%s: code %d, messages() says %d", c.what, code, m.code)
		}
		if !m.anywhere && !slices.Contains(endpoints()[route].fails, c.word) {
			t.Errorf("%s answers %s, which endpoints() does not say", route, c.word)
		}
	}
}

// The examples have the fields that a replica's answers have, and the table of the status likewise.
func TestExamplesAreLikeAnswers(t *testing.T) {
	d := start(t)
	_, file, err := ask(d, "GET /cluster/snapshot", nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for what, e := range endpoints() {
		if strings.HasPrefix(what, "POST /cluster/") && what != "POST /cluster/restore" {
			continue // one replica alone refuses them
		}
		path := what
		if slices.ContainsFunc(e.params, func(p param) bool { return p.name == "topic" }) && strings.HasPrefix(what, "GET") {
			path += "?topic=greetings"
		}
		if strings.HasPrefix(e.answer, "{") {
			code, body, err := ask(d, path, file)
			if err != nil || code != http.StatusOK {
				t.Errorf("%s: %d %s %v", path, code, body, err)
				continue
			}
			example := strings.Replace(e.answer, ", …", "", 1)
			if got, want := shape(t, example), shape(t, string(body)); !slices.Equal(got, want) && what != "GET /debug" {
				t.Errorf("%s: the example has\n%q, the answer\n%q", what, got, want)
			} else if what == "GET /debug" && !subset(got, want) {
				t.Errorf("%s: the example has\n%q, the answer\n%q", what, got, want)
			}
			compared++
		}
	}
	if compared < 7 {
		t.Errorf("only %d examples were compared", compared)
	}
}

func TestStatusHasTheFieldsThatAreExplained(t *testing.T) {
	d := start(t)
	_, body, err := ask(d, "GET /cluster/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSources(root)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := statusRows(src.cluster)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{"text": ": string", "number": ": float64", "true or false": ": bool"}
	var explained []string
	for _, row := range rows {
		paths := []string{strings.Trim(row[0], "`")}
		if rest, ok := strings.CutPrefix(paths[0], "addresses."); ok {
			paths = append(paths, "members[].addresses."+rest)
		}
		for _, path := range paths {
			explained = append(explained, path)
			if kind := kinds[row[1]]; kind != "" {
				explained = append(explained, path+kind)
			}
		}
	}
	slices.Sort(explained)
	if got := shape(t, string(body)); !slices.Equal(got, explained) {
		t.Errorf("the answer has\n%q, explained are\n%q", got, explained)
	}
}

// shape is the sorted paths of all members of a JSON text.
func shape(t *testing.T, text string) []string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var paths []string
	var visit func(v any, path string)
	visit = func(v any, path string) {
		switch v := v.(type) {
		case map[string]any:
			for key, member := range v {
				below := strings.TrimPrefix(path+"."+key, ".")
				paths = append(paths, below)
				visit(member, below)
			}
		case []any:
			for _, member := range v {
				visit(member, path+"[]")
			}
		default:
			paths = append(paths, fmt.Sprintf("%s: %T", path, v)) // the kind counts as well
		}
	}
	visit(value, "")
	slices.Sort(paths)
	return slices.Compact(paths)
}

func subset(some, all []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}
