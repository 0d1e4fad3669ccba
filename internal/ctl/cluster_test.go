package ctl

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// standing is a status of r4 with what matters to join and leave.
func standing(id, cluster, role, more string) http.HandlerFunc {
	return ok(fmt.Sprintf(`{"name":"r4","id":%q,"cluster_id":%q,"role":%q,"leader":"r1"%s}`, id, cluster, role, more))
}

const votersJSON = `,"members":[{"name":"r1","id":"1","role":"leader","applied_index":120},{"name":"r4","id":"4","role":"voter"}]`

func TestJoin(t *testing.T) {
	blank := standing("4", "", "none", `,"waiting_for":"to be told to join"`)
	status := func(all ...http.HandlerFunc) routes {
		return routes{"GET /cluster/status": inOrder(all...), "POST /cluster/join?address=h%3A4163": ok(`{"message":"JOINING"}`)}
	}
	const nonVoter, votes = "taken in as non-voter\n", "r4 votes, in cluster c1 of 2 voters\n"
	for _, c := range []struct {
		name           string
		routes         routes
		stdout, stderr string
	}{
		{"in steps", status(blank,
			blank,
			reply(503, `{"message":"NO_LEADER"}`),
			hangUp,
			standing("4", "c1", "reader", `,"applied_index":50,"commit_index":60`+votersJSON),
			standing("4", "c1", "reader", `,"applied_index":70,"commit_index":70`+votersJSON),
			standing("4", "c1", "reader", `,"applied_index":120,"commit_index":120,"ready":true`+votersJSON),
			standing("4", "c1", "voter", votersJSON)),
			votes, "contacted h:4163\nwaits: to be told to join\n" + nonVoter + "catching up: 50 of 120\ncaught up: 120 of 120\n"},
		{"at once", status(blank, standing("4", "c1", "voter", votersJSON)), votes, "contacted h:4163\n"},
		{"leads already", status(blank, standing("4", "c1", "leader", votersJSON)), strings.Replace(votes, "votes", "leads", 1), "contacted h:4163\n"},
		// One that led a cluster of its own is in when it is in another.
		{"anew", status(standing("0", "c0", "leader", ""), standing("0", "c0", "leader", ""), standing("0", "c0", "leader", ""),
			standing("4", "", "none", ""), standing("4", "c1", "voter", votersJSON)),
			votes, "contacted h:4163\nwaits: the cluster has not taken it in\n"},
		{"anew under its id", status(standing("4", "c0", "leader", ""), standing("4", "c0", "leader", ""), standing("4", "c1", "voter", votersJSON)),
			votes, "contacted h:4163\nwaits: the cluster has not taken it in\n"},
		{"reader", status(blank, standing("4", "c1", "reader", `,"reader":true,"applied_index":1`), standing("4", "c1", "reader", `,"reader":true,"ready":true`)),
			"r4 reads along, in cluster c1 of 0 voters\n", "contacted h:4163\n" + nonVoter + "catching up: 1 of 0\n"},
		{"already", routes{"GET /cluster/status": standing("4", "c1", "voter", votersJSON), "POST /cluster/join": ok(`{"message":"MEMBER"}`)},
			"r4 votes already, in cluster c1 of 2 voters\n", ""},
		{"already, without a vote", routes{"GET /cluster/status": inOrder(standing("4", "c1", "reader", ""), standing("4", "c1", "voter", votersJSON)),
			"POST /cluster/join": ok(`{"message":"MEMBER"}`)}, "r4 votes already, in cluster c1 of 2 voters\n", "contacted h:4163\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lookupctl(t, serve(t, c.routes), "join", "h:4163").want(t, 0, c.stdout, c.stderr)
		})
	}
	a := serve(t, status(blank, standing("4", "c1", "voter", "")))
	r := lookupctl(t, a, "-o", "json", "join", "h:4163")
	r.want(t, 0, `{"name":"r4","id":"4","role":"voter","cluster_id":"c1","leader":"r1","already":false}`+"\n", "contacted h:4163\n")
}

func TestJoinThatFails(t *testing.T) {
	t.Parallel()
	blank := standing("4", "", "none", `,"waiting_for":"a leader to take it in"`)
	reader := standing("4", "c1", "reader", `,"applied_index":50,"commit_index":120`)
	behind := standing("4", "c1", "reader", `,"applied_index":120,"commit_index":120,"ready":true`)
	const late = "; it goes on trying, look with 'lookupctl --addr http://a status'\n"
	for _, c := range []struct {
		name   string
		status []http.HandlerFunc
		join   http.HandlerFunc
		stderr string
	}{
		{"refused", []http.HandlerFunc{blank}, reply(409, `{"message":"JOIN_REFUSED","reason":"replica r4 has data: move it away"}`),
			"lookupctl: http://a answers JOIN_REFUSED: replica r4 has data: move it away\n"},
		{"nobody there", []http.HandlerFunc{blank}, reply(502, `{"message":"NO_ANSWER","reason":"nobody answers at h:4163"}`),
			"lookupctl: http://a answers NO_ANSWER: nobody answers at h:4163\n"},
		{"never taken in", []http.HandlerFunc{blank}, ok(`{"message":"JOINING"}`),
			"contacted h:4163\nwaits: a leader to take it in\nlookupctl: r4 is not in after 500ms: a leader to take it in" + late},
		{"never caught up", []http.HandlerFunc{blank, reader}, ok(`{"message":"JOINING"}`),
			"contacted h:4163\ntaken in as non-voter\ncatching up: 50 of 120\nlookupctl: r4 is not in after 500ms: it has caught up 50 of 120" + late},
		{"never votes", []http.HandlerFunc{blank, behind}, ok(`{"message":"JOINING"}`),
			"contacted h:4163\ntaken in as non-voter\ncaught up: 120 of 120\nlookupctl: r4 is not in after 500ms: it has caught up, but has no vote yet" + late},
		{"its own cluster for ever", []http.HandlerFunc{standing("4", "c0", "leader", "")}, ok(`{"message":"JOINING"}`),
			"contacted h:4163\nwaits: the cluster has not taken it in\nlookupctl: r4 is not in after 500ms: the cluster has not taken it in" + late},
		{"silent", []http.HandlerFunc{blank, hangUp}, ok(`{"message":"JOINING"}`),
			"contacted h:4163\nlookupctl: r4 is not in after 500ms: no answer: http://a: hangs up before its answer is complete; is raftlookupd running there? Give another address with --addr" + late},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, routes{"GET /cluster/status": inOrder(c.status...), "POST /cluster/join": c.join})
			lookupctl(t, a, "--timeout", "500ms", "join", "h:4163").want(t, 1, "", c.stderr)
		})
	}
}

// Two minutes, unless it is said otherwise.
func TestPatienceOfLongVerbs(t *testing.T) {
	p := newProgram(nil, nil, nil, nil)
	if got := p.within(longPatience); got != 2*time.Minute {
		t.Error(got)
	}
	p.flags = flags{timeout: time.Second, timeoutGiven: true}
	if got := p.within(longPatience); got != time.Second {
		t.Error(got)
	}
}

func TestInterruptedJoin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := serve(t, routes{"POST /cluster/join": ok(`{"message":"JOINING"}`)})
	polls := 0
	a.set("GET /cluster/status", func(w http.ResponseWriter, r *http.Request) {
		if polls++; polls == 3 {
			cancel()
		}
		standing("4", "", "none", "")(w, r)
	})
	(&run{ctx: ctx}).do(t, "--addr", a.URL, "join", "h").want(t, 1, "",
		"contacted h\nwaits: the cluster has not taken it in\nlookupctl: interrupted: what was asked for may be done all the same; look with 'lookupctl status'\n")
}

func TestLeave(t *testing.T) {
	const others = `{"name":"r2","id":"2","role":"leader","alive":true,"health":"healthy","addresses":{"http":"OTHER"}},` +
		`{"name":"r3","id":"3","role":"voter","alive":false,"health":"gone","addresses":{"http":"OTHER"}}`
	const r1 = `,{"name":"r1","id":"1","role":"%s","alive":true,"addresses":{"http":"OTHER"}}`
	mine := func(other string) string {
		return `{"name":"r1","id":"1","role":"voter","cluster_id":"c1","members":[` + strings.ReplaceAll(others+fmt.Sprintf(r1, "voter"), "OTHER", other) + `]}`
	}
	with := func(tail string) http.HandlerFunc {
		return ok(`{"id":"2","members":[` + strings.ReplaceAll(others+tail, "OTHER", "h2:4161") + `]}`)
	}
	const waits = "r1 has left, waiting until it is out\n"
	const table = "REMAINS  ROLE    HEALTH   HTTP\nr2       leader  healthy  "
	for _, c := range []struct {
		name, stdout string
		args         string
		after        http.HandlerFunc // of r1
		others       http.HandlerFunc
	}{
		{"out", "r1 is out of cluster c1\n" + table + "h2:4161\nr3       voter   gone     h2:4161\n", "leave",
			standing("9", "", "none", ""), with("")},
		{"out, but known", "r1 is out of cluster c1\n" + table + "h2:4161\nr3       voter   gone     h2:4161\n", "leave",
			standing("1", "", "none", ""), with(fmt.Sprintf(r1, "none"))},
		{"the others are late", "r1 is out of cluster c1\n" + table + "h2:4161\nr3       voter   gone     h2:4161\n", "leave",
			standing("9", "", "none", ""), inOrder(with(fmt.Sprintf(r1, "voter")+`,{"name":"r0","id":"0","role":"voter"}`), with(""))},
		{"the others are silent", "r1 is out of cluster c1\nNone of the others could be asked from here; they were:\n" + table + "b\nr3       voter   gone     b\n", "leave",
			standing("9", "", "none", ""), hangUp},
		{"in JSON", `{"name":"r1","id":"1","remain":[` +
			`{"name":"r2","id":"2","role":"leader","alive":true,"health":"healthy","leaving":false,"applied_index":0,"lag":0,"last_contact_ms":0,"gone_ms":0,"version":"","log_level":0,"addresses":{"tcp":"","http":"h2:4161","cluster":"","gossip":""}},` +
			`{"name":"r3","id":"3","role":"voter","alive":false,"health":"gone","leaving":false,"applied_index":0,"lag":0,"last_contact_ms":0,"gone_ms":0,"version":"","log_level":0,"addresses":{"tcp":"","http":"h2:4161","cluster":"","gossip":""}}],"seen_out":true}` + "\n",
			"-o json leave --force", standing("9", "", "none", ""), with("")},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := serve(t, routes{"GET /cluster/status": c.others})
			a := serve(t, routes{"GET /cluster/status": inOrder(ok(mine(b.host())), ok(mine(b.host())), hangUp, c.after),
				"POST /cluster/leave": ok(`{"message":"LEFT"}`)})
			r := &run{names: []string{b.host(), "b"}}
			r.do(t, append([]string{"--addr", a.URL}, strings.Fields(c.args)...)...)
			r.want(t, 0, c.stdout, waits)
			want := "/cluster/leave"
			if strings.Contains(c.args, "--force") {
				want += "?force=true"
			}
			if got := a.asked("POST"); len(got) != 1 || got[0] != want {
				t.Errorf("posted %q, want %s", got, want)
			}
		})
	}
}

func TestLeaveThatFails(t *testing.T) {
	t.Parallel()
	a := serve(t, routes{"GET /cluster/status": ok(statusJSON), "POST /cluster/leave": reply(409, `{"message":"LEAVE_REFUSED","reason":"r1 is the only voter: stop it"}`)})
	lookupctl(t, a, "leave").want(t, 1, "", "lookupctl: http://a answers LEAVE_REFUSED: r1 is the only voter: stop it\n")
	a.set("POST /cluster/leave", ok(`{"message":"LEFT"}`))
	lookupctl(t, a, "--timeout", "500ms", "leave").want(t, 1, "", "r1 has left, waiting until it is out\n"+
		"lookupctl: r1 has left, but does not show it after 500ms: it says that it is still a leader; look with 'lookupctl members' at another replica\n")
}

func TestRemoveAndTransfer(t *testing.T) {
	for _, c := range []struct {
		args           string
		answer         http.HandlerFunc
		code           int
		call           string
		stdout, stderr string
	}{
		{"remove r3", ok(`{"message":"REMOVED","id":"3"}`), 0, "/cluster/remove?name=r3", "removed r3 (id 3)\n", ""},
		{"-o json remove r3", ok(`{"message":"REMOVED","id":"3"}`), 0, "/cluster/remove?name=r3", `{"name":"r3","id":"3"}` + "\n", ""},
		{"remove --id 3", ok(`{"message":"REMOVED","id":"3"}`), 0, "/cluster/remove?id=3", "removed (id 3)\n", ""},
		{"remove r3 --id 3 --force", ok(`{"message":"REMOVED","id":"3"}`), 0, "/cluster/remove?force=true&id=3&name=r3", "removed r3 (id 3)\n", ""},
		{"remove r2", reply(409, `{"message":"REMOVE_REFUSED","reason":"r2 is alive: ask it to leave"}`), 1, "/cluster/remove?name=r2", "",
			"lookupctl: http://a answers REMOVE_REFUSED: r2 is alive: ask it to leave\n"},
		{"remove r9", reply(404, `{"message":"NO_SUCH_REPLICA","reason":"there is no r9: see lookupctl members"}`), 1, "/cluster/remove?name=r9", "",
			"lookupctl: http://a answers NO_SUCH_REPLICA: there is no r9: see lookupctl members\n"},
		{"transfer", ok(`{"message":"TRANSFERRED","leader":"r2"}`), 0, "/cluster/transfer", "r2 leads\n", ""},
		{"transfer r2 -o json", ok(`{"message":"TRANSFERRED","leader":"r2"}`), 0, "/cluster/transfer?name=r2", `{"leader":"r2"}` + "\n", ""},
		{"transfer r3", reply(409, `{"message":"TRANSFER_REFUSED","reason":"r3 is gone"}`), 1, "/cluster/transfer?name=r3", "",
			"lookupctl: http://a answers TRANSFER_REFUSED: r3 is gone\n"},
	} {
		a := serve(t, routes{"POST /cluster/remove": c.answer, "POST /cluster/transfer": c.answer})
		lookupctl(t, a, strings.Fields(c.args)...).want(t, c.code, c.stdout, c.stderr)
		if got := a.asked("POST"); len(got) != 1 || got[0] != c.call {
			t.Errorf("%s: posted %q, want %s", c.args, got, c.call)
		}
	}
}

// threeReplicas are a cluster whose replicas answer for the fingerprint as they are told.
func threeReplicas(t *testing.T, r1, r2, r3 http.HandlerFunc, r3alive bool) (a, b, c *fake) {
	t.Helper()
	b, c = serve(t, routes{"GET /cluster/fingerprint": r2}), serve(t, routes{"GET /cluster/fingerprint": r3})
	status := func(index int) http.HandlerFunc {
		return ok(fmt.Sprintf(`{"name":"r1","id":"1","registry":{"index":%d},"members":[`+
			`{"name":"r1","id":"1","role":"voter","alive":true,"addresses":{"http":"192.0.2.1:1"}},`+
			`{"name":"r2","id":"2","role":"leader","alive":true,"addresses":{"http":%q}},`+
			`{"name":"r3","id":"3","role":"reader","alive":%v,"addresses":{"http":%q}},`+
			`{"name":"r4","id":"4","role":"none","alive":true,"addresses":{"http":"192.0.2.1:1"}}]}`, index, b.host(), r3alive, c.host()))
	}
	a = serve(t, routes{"GET /cluster/fingerprint": r1, "GET /cluster/status": inOrder(status(7), status(9))})
	return a, b, c
}

// printed is the fingerprint at whatever index is asked for.
func printed(fp string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"index":`+r.URL.Query().Get("index")+`,"fingerprint":"`+fp+`"}`)
	}
}

func TestVerify(t *testing.T) {
	const head = "NAME  INDEX  FINGERPRINT  VERDICT\n"
	const startAnew = "; stop the one that differs, keep its log for a report, and start it with an empty data path\n"
	const bringBack = "; bring it back or see 'lookupctl remove --help', then verify again\n"
	tooOld := reply(410, `{"message":"INDEX_TOO_OLD"}`)
	for _, c := range []struct {
		name           string
		r1, r2, r3     http.HandlerFunc
		dead           bool
		code           int
		stdout, stderr string
	}{
		{"same", printed("f"), printed("f"), printed("f"), false, 0,
			head + "r1    7      f            same\nr2    7      f            same\nr3    7      f            same\n", ""},
		{"one differs from the leader", printed("x"), printed("f"), printed("f"), false, 1,
			head + "r1    7      x            differs\nr2    7      f            same\nr3    7      f            same\n",
			"lookupctl: not all agree at index 7: r1 differs" + startAnew},
		{"one is gone", printed("f"), printed("f"), printed("f"), true, 1,
			head + "r1    7      f            same\nr2    7      f            same\nr3    -      -            gone\n",
			"lookupctl: not all agree at index 7: r3 is gone" + bringBack},
		{"one differs and one is gone", printed("f"), printed("x"), printed("f"), true, 1,
			head + "r1    7      f            differs\nr2    7      x            same\nr3    -      -            gone\n",
			"lookupctl: not all agree at index 7: r1 differs, r3 is gone" + startAnew},
		{"the leader hangs up", printed("f"), hangUp, printed("f"), false, 1,
			head + "r1    7      f            same\nr2    -      -            no answer: hangs up before its answer is complete\nr3    7      f            same\n",
			"lookupctl: not all agree at index 7: r2 gives no fingerprint (no answer: hangs up before its answer is complete)" + bringBack},
		{"one is behind", printed("f"), printed("f"), reply(503, `{"message":"INDEX_NOT_REACHED"}`), false, 1,
			head + "r1    7      f            same\nr2    7      f            same\nr3    -      -            no answer: INDEX_NOT_REACHED\n",
			"lookupctl: not all agree at index 7: r3 gives no fingerprint (no answer: INDEX_NOT_REACHED)" + bringBack},
		{"one answers another index", printed("f"), printed("f"), ok(`{"index":6,"fingerprint":"f"}`), false, 1,
			head + "r1    7      f            same\nr2    7      f            same\nr3    -      -            answers for index 6\n",
			"lookupctl: not all agree at index 7: r3 gives no fingerprint (answers for index 6)" + bringBack},
		{"too old once", printed("f"), inOrder(tooOld, printed("f")), printed("f"), false, 0,
			head + "r1    9      f            same\nr2    9      f            same\nr3    9      f            same\n", ""},
		{"too old", printed("f"), tooOld, printed("f"), false, 1,
			head + "r1    9      f            same\nr2    -      -            no answer: INDEX_TOO_OLD\nr3    9      f            same\n",
			"lookupctl: not all agree at index 9: r2 gives no fingerprint (no answer: INDEX_TOO_OLD)" + bringBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _, _ := threeReplicas(t, c.r1, c.r2, c.r3, !c.dead)
			lookupctl(t, a, "verify").want(t, c.code, c.stdout, c.stderr)
		})
	}
	a, b, c := threeReplicas(t, printed("f"), printed("f"), printed("f"), true)
	r := &run{names: []string{b.host(), "b", c.host(), "c"}}
	r.do(t, "--addr", a.URL, "-o", "json", "verify").want(t, 0, `{"index":7,"agree":true,"replicas":[`+
		`{"name":"r1","id":"1","http":"192.0.2.1:1","index":7,"fingerprint":"f","verdict":"same"},`+
		`{"name":"r2","id":"2","http":"b","index":7,"fingerprint":"f","verdict":"same"},`+
		`{"name":"r3","id":"3","http":"c","index":7,"fingerprint":"f","verdict":"same"}]}`+"\n", "")
}

func TestVerifyOfNothing(t *testing.T) {
	a := serve(t, routes{"GET /cluster/status": ok(`{"name":"r1","id":"1"}`)})
	lookupctl(t, a, "verify").want(t, 1, "", "lookupctl: r1 has applied nothing since its start, so there is nothing to compare; "+
		"wait until it is ready, or give another replica with --addr\n")
	a.set("GET /cluster/status", ok(`{"name":"r1","id":"1","registry":{"index":7},"members":[]}`))
	lookupctl(t, a, "verify").want(t, 1, "NAME  INDEX  FINGERPRINT  VERDICT\n",
		"lookupctl: there is no member to compare; is the replica part of a cluster? See 'lookupctl status'\n")
}
