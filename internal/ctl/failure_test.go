package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// asks has a command line for each verb that asks a replica, with its first call.
func asks() map[string]string {
	return map[string]string{
		"status":                 "GET /cluster/status",
		"members":                "GET /cluster/status",
		"verify":                 "GET /cluster/status",
		"join h":                 "GET /cluster/status",
		"leave":                  "GET /cluster/status",
		"remove r3":              "POST /cluster/remove",
		"transfer":               "POST /cluster/transfer",
		"topics":                 "GET /topics",
		"channels t":             "GET /channels",
		"lookup t":               "GET /lookup",
		"nodes":                  "GET /nodes",
		"topic create t":         "POST /topic/create",
		"topic delete t":         "POST /topic/delete",
		"topic tombstone t n:1":  "POST /topic/tombstone",
		"channel create t c":     "POST /channel/create",
		"channel delete t c":     "POST /channel/delete",
		"snapshot save FILE":     "GET /cluster/snapshot",
		"snapshot restore WHOLE": "POST /cluster/restore",
		"watch":                  "GET /cluster/fingerprint",
	}
}

// each runs every verb against a server that answers every route alike, and compares the line on
// stderr, in which CALL is the verb's first call.
func each(t *testing.T, h http.HandlerFunc, skip string, want func(verb, path string) string) {
	t.Helper()
	whole := snapshotFile(t)
	for args, call := range asks() {
		if strings.Contains(skip, strings.Fields(args)[0]) {
			continue
		}
		t.Run(args, func(t *testing.T) {
			a := serve(t, routes{call: h})
			r := &run{names: []string{a.host(), "a"}, pace: func(p *pace) { p.limit = 1000 }}
			line := strings.NewReplacer("FILE", t.TempDir()+"/f", "WHOLE", whole).Replace(args)
			method, path, _ := strings.Cut(call, " ")
			r.do(t, append([]string{"--timeout", "5s", "--addr", a.URL}, strings.Fields(line)...)...)
			r.want(t, 1, "", "lookupctl: "+prefix(args)+want(method, path)+"\n")
		})
	}
}

func prefix(args string) string {
	switch {
	case strings.HasPrefix(args, "snapshot save"):
		return "save snapshot: "
	case strings.HasPrefix(args, "snapshot restore"):
		return "restore snapshot: "
	}
	return ""
}

func TestRefusals(t *testing.T) {
	for body, want := range map[string]string{
		`{"message":"NO_LEADER"}`:                                  "http://a answers NO_LEADER: no leader is known; see who is up with 'lookupctl members', then try again",
		`{"message":"CLOSED"}`:                                     "http://a answers CLOSED: it is stopping; give another replica with --addr",
		`{"message":"SOME","reason":"because\nof \u001b[31mthat"}`: "http://a answers SOME: because of ?[31mthat",
		`<html>`: "http://a answers 503 Service Unavailable: is it the HTTP address of a raftlookupd? Its log may say more",
		`[]`:     "http://a answers 503 Service Unavailable: is it the HTTP address of a raftlookupd? Its log may say more",
	} {
		each(t, reply(503, body), "", func(string, string) string { return want })
	}
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://b/", http.StatusMovedPermanently)
	}
	each(t, moved, "", func(string, string) string {
		return "http://a answers 301 Moved Permanently: it sends elsewhere; give the replica's own address with --addr"
	})
	each(t, reply(404, `{"message":"NOT_FOUND"}`), "watch", func(_, path string) string {
		return "http://a answers NOT_FOUND: it has no " + path + "; is it a raftlookupd, and not older than this lookupctl?"
	})
}

func TestGarbage(t *testing.T) {
	for body, shown := range map[string]string{
		"":                       "nothing",
		"OK":                     `"OK"`,
		"<html>\n<body>":         `"<html>\n<body>"`,
		strings.Repeat("x", 100): `"` + strings.Repeat("x", 40) + `"…`,
		`{"topics":7,"channels":7,"producers":7,"id":7,"fingerprint":7,"message":7}`: `"{\"topics\":7,\"channels\":7,\"producers\":7,\""…`,
	} {
		each(t, ok(body), "topic channel snapshot", func(_, path string) string {
			return fmt.Sprintf("http://a answers %s to %s; is it the HTTP address of a raftlookupd?", shown, path)
		})
	}
	for args, field := range map[string]string{"topics": "topics", "channels t": "channels", "lookup t": "channels", "nodes": "producers", "status": "id", "transfer": "message"} {
		call := asks()[args]
		a := serve(t, routes{call: ok(`{"else":null}`)})
		_, path, _ := strings.Cut(call, " ")
		lookupctl(t, a, strings.Fields(args)...).want(t, 1, "",
			fmt.Sprintf("lookupctl: http://a answers \"{\\\"else\\\":null}\" without %q to %s; is it the HTTP address of a raftlookupd?\n", field, path))
	}
}

func TestHugeAnswers(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
				return
			}
		}
	}
	each(t, endless, "snapshot", func(_, path string) string {
		return "http://a answers more than 1000 B to " + path + "; is it the HTTP address of a raftlookupd?"
	})
	// An error is read as far as its beginning.
	each(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); endless(w, r) }, "", func(string, string) string {
		return "http://a answers 500 Internal Server Error: is it the HTTP address of a raftlookupd? Its log may say more"
	})
}

const (
	nobody = "; is raftlookupd running there? Give another address with --addr"
	doubt  = "; it may be done all the same, so look with 'lookupctl status' before you try again"
)

// onceOnly reports whether the path is of a change that must not be asked for twice.
func onceOnly(method, path string) bool {
	return method == "POST" && strings.HasPrefix(path, "/cluster/")
}

func TestNoAnswer(t *testing.T) {
	each(t, hangUp, "", func(method, path string) string {
		if onceOnly(method, path) {
			return "no answer: http://a: hangs up before its answer is complete" + doubt
		}
		return "no answer: http://a: hangs up before its answer is complete" + nobody
	})
	cut := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
	}
	each(t, cut, "topic channel", func(method, path string) string {
		if onceOnly(method, path) {
			return "no answer: http://a: hangs up before its answer is complete" + doubt
		}
		return "no answer: http://a: hangs up before its answer is complete" + nobody
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	a := serve(t, routes{"GET /topics": hang, "GET /nodes": func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}, "GET /cluster/snapshot": hang, "POST /cluster/restore": hang, "POST /cluster/transfer": hang})
	for args, want := range map[string]string{
		"topics":           "no answer: http://a: no answer within 300ms" + nobody,
		"nodes":            "no answer: http://a: no answer within 300ms" + nobody,
		"transfer":         "no answer: http://a: no answer within 300ms" + doubt,
		"snapshot save -":  "save snapshot: no answer: http://a: nothing has moved for 300ms" + nobody,
		"snapshot restore": "restore snapshot: no answer: http://a: nothing has moved for 300ms" + doubt,
	} {
		line := append([]string{"--timeout", "300ms"}, strings.Fields(args)...)
		if args == "snapshot restore" {
			line = append(line, snapshotFile(t))
		}
		lookupctl(t, a, line...).want(t, 1, "", "lookupctl: "+want+"\n")
	}
}

func TestTheFirstThatAnswersServes(t *testing.T) {
	gone := dead(t)
	refused := gone + ": dial tcp " + strings.TrimPrefix(gone, "http://") + ": connect: connection refused"
	for args, call := range asks() {
		if strings.HasPrefix(args, "join") || strings.HasPrefix(args, "leave") || strings.Contains(args, "snapshot") || args == "watch" || args == "verify" {
			continue
		}
		b := serve(t, routes{call: ok(`{"id":"1","topics":[],"channels":[],"producers":[],"message":"DONE"}`)})
		for _, first := range []string{gone, serve(t, routes{call: reply(503, `{"message":"NO_LEADER"}`)}).URL} {
			r := (&run{env: []string{"LOOKUPCTL_ADDR=" + first + "," + b.URL}}).do(t, strings.Fields(args)...)
			if r.code != 0 || r.stderr.String() != "" {
				t.Errorf("%s: exit code %d, %s", args, r.code, r.stderr.String())
			}
		}
		// Whoever does not answer is named when nobody serves.
		b.set(call, reply(503, `{"message":"NO_LEADER"}`))
		r := &run{names: []string{b.host(), "b"}}
		r.do(t, append([]string{"--addr", gone, "--addr", b.URL}, strings.Fields(args)...)...)
		r.want(t, 1, "", "lookupctl: http://b answers NO_LEADER: no leader is known; see who is up with 'lookupctl members', then try again ("+refused+")\n")
		(&run{}).do(t, append([]string{"--addr", gone}, strings.Fields(args)...)...).want(t, 1, "", "lookupctl: no answer: "+refused+nobody+"\n")
	}
}

// The flag wins over the environment, which wins over the default.
func TestWhichAddress(t *testing.T) {
	a := serve(t, routes{"GET /topics": ok(`{"topics":["a"]}`)})
	b := serve(t, routes{"GET /topics": ok(`{"topics":["b"]}`)})
	env := []string{"LOOKUPCTL_ADDR=" + a.URL}
	(&run{env: env}).do(t, "topics").want(t, 0, "a\n", "")
	(&run{env: env}).do(t, "topics", "--addr", b.URL).want(t, 0, "b\n", "")
	(&run{env: []string{"LOOKUPCTL_ADDR="}}).do(t, "--addr", dead(t)+", "+b.URL, "topics").want(t, 0, "b\n", "")
	if p := newProgram(nil, nil, nil, nil); p.root().PersistentFlags().Lookup("addr").DefValue != "[http://127.0.0.1:4161]" {
		t.Error("another default")
	}
}

// What may have been done is not asked of another replica.
func TestNothingIsDoneTwice(t *testing.T) {
	t.Parallel()
	for _, h := range []http.HandlerFunc{hangUp, hang, reply(503, `{"message":"NOT_COMMITTED"}`), reply(500, ""), reply(504, "")} {
		a := serve(t, routes{"POST /cluster/remove": h, "POST /cluster/transfer": h, "POST /cluster/restore": h})
		b := serve(t, routes{})
		for _, args := range [][]string{{"remove", "r3"}, {"transfer"}, {"snapshot", "restore", snapshotFile(t)}} {
			r := (&run{}).do(t, append([]string{"--timeout", "400ms", "--addr", a.URL, "--addr", b.URL}, args...)...)
			if r.code != 1 || len(b.asked("POST")) != 0 {
				t.Errorf("%q: exit code %d, %s, second got %q", args, r.code, r.stderr.String(), b.asked("POST"))
			}
		}
		if n := len(a.asked("POST")); n != 3 {
			t.Errorf("%d calls", n)
		}
	}
}

func TestInterruption(t *testing.T) {
	for args, want := range map[string]string{
		"topics":   "lookupctl: interrupted\n",
		"transfer": "lookupctl: interrupted: what was asked for may be done all the same; look with 'lookupctl status'\n",
	} {
		a := serve(t, routes{"GET /topics": hang, "POST /cluster/transfer": hang})
		ctx, cancel := context.WithCancel(t.Context())
		r := &run{ctx: ctx}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.do(t, "--addr", a.URL, "--addr", a.URL+"/x", args)
		}()
		eventually.True(t, patience, "the request", func() error {
			if len(a.asked("GET"))+len(a.asked("POST")) == 0 {
				return errors.New("not yet")
			}
			return nil
		})
		cancel()
		<-done
		r.want(t, 1, "", want)
		if n := len(a.asked("GET")) + len(a.asked("POST")); n != 1 {
			t.Errorf("%d requests", n)
		}
	}
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestOutputThatCannotBeWritten(t *testing.T) {
	a := serve(t, routes{"GET /topics": ok(`{"topics":["a"]}`), "GET /cluster/status": ok(statusJSON)})
	for _, args := range [][]string{{"topics"}, {"-o", "json", "topics"}, {"status"}, {"-o", "json", "status"}, {"version"}, {"completion", "bash"}} {
		var stderr bytes.Buffer
		code := Run(t.Context(), append([]string{"--addr", a.URL}, args...), nil, nil, brokenPipe{}, &stderr)
		if code != 1 || stderr.String() != "lookupctl: write the output: file already closed\n" {
			t.Errorf("%q: exit code %d, %q", args, code, stderr.String())
		}
	}
}

func TestOldEnvelope(t *testing.T) {
	a := serve(t, routes{"GET /topics": ok(`{"status_code":200,"status_txt":"OK","data":{"topics":["t"]}}`),
		"GET /lookup": reply(500, `{"status_code":500,"status_txt":"INVALID_TOPIC","data":null}`)})
	lookupctl(t, a, "topics").want(t, 0, "t\n", "")
	lookupctl(t, a, "lookup", "t").want(t, 1, "", "lookupctl: http://a answers INVALID_TOPIC: is it the HTTP address of a raftlookupd? Its log may say more\n")
}

// A dial that ends before the request does has sent nothing.
func TestDialEndsBeforeTheRequest(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, time.Second, time.Hour} {
		if dial := dialTimeout(timeout); dial <= 0 || dial > timeout/2 || dial > maxDial {
			t.Errorf("%s: %s", timeout, dial)
		}
	}
}
