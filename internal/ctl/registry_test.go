package ctl

import (
	"net/http"
	"strings"
	"testing"
)

const (
	producersJSON = `"producers":[` +
		`{"remote_address":"10.0.0.2:5","hostname":"n2","broadcast_address":"n2","tcp_port":4150,"http_port":4151,"version":"1.3.0"},` +
		`{"remote_address":"10.0.0.1:5","hostname":"n1","broadcast_address":"n1","tcp_port":4150,"http_port":4151,"version":"1.3.0","topology_zone":"z","topology_region":"r"}]`
	nodesJSON = `{"producers":[` +
		`{"remote_address":"10.0.0.2:5","hostname":"n2","broadcast_address":"n2","tcp_port":4150,"http_port":4151,"version":"1.3.0","tombstones":[false,true],"topics":["t2","t1"]},` +
		`{"remote_address":"10.0.0.1:5","hostname":"n1","broadcast_address":"n1","tcp_port":4150,"http_port":4151,"version":"1.3.0","tombstones":[],"topics":[]}]}`
)

func TestReads(t *testing.T) {
	a := serve(t, routes{
		"GET /topics":            ok(`{"topics":["b","a#ephemeral"]}`),
		"GET /channels?topic=t":  ok(`{"channels":["y","x"]}`),
		"GET /channels?topic=t0": ok(`{"channels":[]}`),
		"GET /lookup?topic=t":    ok(`{"channels":["y","x"],` + producersJSON + `}`),
		"GET /lookup?topic=t0":   ok(`{"channels":[],"producers":[]}`),
		"GET /lookup":            reply(http.StatusNotFound, `{"message":"TOPIC_NOT_FOUND"}`),
		"GET /nodes":             ok(nodesJSON),
	})
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"topics"}, 0, "a#ephemeral\nb\n", ""},
		{[]string{"-o", "json", "topics"}, 0, `{"topics":["a#ephemeral","b"]}` + "\n", ""},
		{[]string{"channels", "t"}, 0, "x\ny\n", ""},
		{[]string{"channels", "t", "-o", "json"}, 0, `{"topic":"t","channels":["x","y"]}` + "\n", ""},
		{[]string{"channels", "t0"}, 0, "", ""},
		{[]string{"-o", "json", "channels", "t0"}, 0, `{"topic":"t0","channels":[]}` + "\n", ""},
		{[]string{"lookup", "t"}, 0, `Topic     t
Channels  x, y

NODE     TCP PORT  HOSTNAME  VERSION  ZONE  REGION  REMOTE ADDRESS
n1:4151  4150      n1        1.3.0    z     r       10.0.0.1:5
n2:4151  4150      n2        1.3.0    -     -       10.0.0.2:5
`, ""},
		{[]string{"-o", "json", "lookup", "t0"}, 0, `{"topic":"t0","channels":[],"producers":[]}` + "\n", ""},
		{[]string{"lookup", "nope"}, 1, "", "lookupctl: http://a answers TOPIC_NOT_FOUND: 'lookupctl topics' lists those that there are\n"},
		{[]string{"nodes"}, 0, `NODE     TCP PORT  HOSTNAME  VERSION  ZONE  REGION  REMOTE ADDRESS  TOPICS
n1:4151  4150      n1        1.3.0    -     -       10.0.0.1:5      -
n2:4151  4150      n2        1.3.0    -     -       10.0.0.2:5      t1 (tombstoned), t2
`, ""},
		{[]string{"-o", "json", "nodes"}, 0, `{"producers":[` +
			`{"node":"n1:4151","remote_address":"10.0.0.1:5","hostname":"n1","broadcast_address":"n1","tcp_port":4150,"http_port":4151,"version":"1.3.0","topology_zone":"","topology_region":"","topics":[]},` +
			`{"node":"n2:4151","remote_address":"10.0.0.2:5","hostname":"n2","broadcast_address":"n2","tcp_port":4150,"http_port":4151,"version":"1.3.0","topology_zone":"","topology_region":"","topics":[{"name":"t1","tombstoned":true},{"name":"t2","tombstoned":false}]}]}` + "\n", ""},
	} {
		lookupctl(t, a, c.args...).want(t, c.code, c.stdout, c.stderr)
	}
}

func TestManyTopicsAreCounted(t *testing.T) {
	var topics []NodeTopic
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		topics = append(topics, NodeTopic{Name: name})
	}
	if got := shownTopics(topics); got != "a, b, c, d, e" {
		t.Error(got)
	}
	if got := shownTopics(append(topics, NodeTopic{Name: "f"}, NodeTopic{Name: "g"})); got != "a, b, c, d, e, and 2 more" {
		t.Error(got)
	}
}

func TestStatus(t *testing.T) {
	a := serve(t, routes{"GET /cluster/status": ok(statusJSON)})
	table := `NAME  ROLE    HEALTH   APPLIED  BEHIND  VERSION  TCP      HTTP     GONE SINCE
r1    leader  healthy  123      0       0.1.0    h1:4160  h1:4161  -
r2    voter   healthy  100      23      0.1.0    h2:4160  h2:4161  -
r3    voter   gone     -        -       0.1.0    -        -        3m12s

r1 leads; 2 of 3 voters alive, changes need 2.
`
	lookupctl(t, a, "members").want(t, 0, table, "")
	lookupctl(t, a, "status").want(t, 0, `Name         r1 (id 1, version 0.1.0)
Cluster      c1
Role         leader
Leader       r1, in term 3
Ready        yes
Log          committed up to 123, applied up to 123
Registry     1 topic, 2 channels, 1 producer from 3 sessions
             0 orphans, 0 tombstones, 0 changes pending
Fingerprint  f1 at 120
Addresses    nsqd h1:4160, HTTP h1:4161
             cluster h1:4162, gossip h1:4163

`+table, "")
	lookupctl(t, a, "-o", "json", "status").want(t, 0, statusJSON+"\n", "")
	lookupctl(t, a, "-o", "json", "members").want(t, 0, `{"asked":"r1","leader":"r1","term":3,"commit_index":123,"voters":3,"voters_alive":2,"quorum":2,"members":[`+
		`{"name":"r1","id":"1","role":"leader","alive":true,"health":"healthy","leaving":false,"applied_index":123,"lag":0,"last_contact_ms":0,"gone_ms":0,"version":"0.1.0","log_level":0,"addresses":{"tcp":"h1:4160","http":"h1:4161","cluster":"","gossip":""}},`+
		`{"name":"r2","id":"2","role":"voter","alive":true,"health":"healthy","leaving":false,"applied_index":100,"lag":23,"last_contact_ms":0,"gone_ms":0,"version":"0.1.0","log_level":0,"addresses":{"tcp":"h2:4160","http":"h2:4161","cluster":"","gossip":""}},`+
		`{"name":"r3","id":"3","role":"voter","alive":false,"health":"gone","leaving":false,"applied_index":0,"lag":0,"last_contact_ms":0,"gone_ms":192000,"version":"0.1.0","log_level":0,"addresses":{"tcp":"","http":"","cluster":"","gossip":""}}]}`+"\n", "")
}

func TestStatusWithoutLeader(t *testing.T) {
	const lost = `{"name":"r2","id":"2","role":"voter","leader":"","ready":false,"reason":"has heard no leader for 30s","last_contact_ms":45000,"registry":{},"members":[
		{"name":"r1","id":"1","role":"voter","alive":false,"health":"gone","gone_ms":90000000},
		{"name":"r2","id":"2","role":"voter","alive":%s,"leaving":true,"health":"has heard no leader for 30s"}]}`
	const head = "NAME  ROLE   HEALTH                                APPLIED  BEHIND  VERSION  TCP  HTTP  GONE SINCE\n" +
		"r1    voter  gone                                  -        -       -        -    -     1d01h\n" +
		"r2    voter  has heard no leader for 30s, leaving  -        -       -        -    -     -\n\n"
	for alive, want := range map[string]string{
		lost: head + "No leader: 1 of 2 voters alive, changes need 2. Bring one back.\n",
		`{"name":"r9","id":"9","role":"none","waiting_for":"3 replicas, 1 is there","members":[]}`: "NAME  ROLE  HEALTH  APPLIED  BEHIND  VERSION  TCP  HTTP  GONE SINCE\n\n" +
			"This replica is not part of a cluster.\n",
	} {
		a := serve(t, routes{"GET /cluster/status": ok(strings.ReplaceAll(alive, "%s", "true"))})
		lookupctl(t, a, "members").want(t, 0, want, "")
	}
	a := serve(t, routes{"GET /cluster/status": ok(`{"name":"r9","id":"9","role":"none","reason":"has not caught up since its start","waiting_for":"3 replicas, 1 is there","last_contact_ms":-1,"registry":{}}`)})
	lookupctl(t, a, "status").want(t, 0, `Name         r9 (id 9, version -)
Cluster      -
Role         none
Leader       none is known
Ready        no: has not caught up since its start
Waiting for  3 replicas, 1 is there
Log          committed up to 0, applied up to 0
Registry     0 topics, 0 channels, 0 producers from 0 sessions
             0 orphans, 0 tombstones, 0 changes pending
Fingerprint  - at 0
Addresses    nsqd -, HTTP -
             cluster -, gossip -

NAME  ROLE  HEALTH  APPLIED  BEHIND  VERSION  TCP  HTTP  GONE SINCE

This replica is not part of a cluster.
`, "")
}

func TestChanges(t *testing.T) {
	a := serve(t, routes{
		"POST /topic/create":                        ok(""),
		"POST /topic/create?topic=no%21":            reply(400, `{"message":"INVALID_ARG_TOPIC"}`),
		"POST /topic/delete":                        ok(""),
		"POST /topic/tombstone":                     ok(""),
		"POST /channel/create":                      ok(""),
		"POST /channel/delete?channel=c&topic=t":    ok(""),
		"POST /channel/delete?channel=none&topic=t": reply(404, `{"message":"CHANNEL_NOT_FOUND"}`),
	})
	for _, c := range []struct {
		args           []string
		call           string
		code           int
		stdout, stderr string
	}{
		{[]string{"topic", "create", "t"}, "/topic/create?topic=t", 0, "created topic t\n", ""},
		{[]string{"-o", "json", "topic", "create", "t"}, "/topic/create?topic=t", 0, `{"done":"created","topic":"t","channel":"","node":""}` + "\n", ""},
		{[]string{"topic", "create", "t#ephemeral"}, "/topic/create?topic=t%23ephemeral", 0, "created topic t#ephemeral\n", ""},
		{[]string{"topic", "create", "no!"}, "/topic/create?topic=no%21", 1, "",
			"lookupctl: http://a answers INVALID_ARG_TOPIC: a name has 1 to 64 of the characters . _ - a-z A-Z 0-9, and may end in #ephemeral\n"},
		{[]string{"topic", "delete", "t"}, "/topic/delete?topic=t", 0, "deleted topic t\n", ""},
		{[]string{"topic", "tombstone", "t", "n:4151"}, "/topic/tombstone?node=n%3A4151&topic=t", 0, "tombstoned n:4151 for topic t\n", ""},
		{[]string{"channel", "create", "t", "c"}, "/channel/create?channel=c&topic=t", 0, "created channel c of topic t\n", ""},
		{[]string{"channel", "delete", "t", "c"}, "/channel/delete?channel=c&topic=t", 0, "deleted channel c of topic t\n", ""},
		{[]string{"channel", "delete", "t", "none"}, "/channel/delete?channel=none&topic=t", 1, "",
			"lookupctl: http://a answers CHANNEL_NOT_FOUND: 'lookupctl channels TOPIC' lists those that there are\n"},
	} {
		lookupctl(t, a, c.args...).want(t, c.code, c.stdout, c.stderr)
		if calls := a.asked("POST"); calls[len(calls)-1] != c.call {
			t.Errorf("%q posted %s, want %s", c.args, calls[len(calls)-1], c.call)
		}
	}
}
