package reference

import "maps"

// endpoint is what the table of routes does not say of one.
type endpoint struct {
	params []param
	answer string   // of 200, an example
	fails  []string // words of messages(), but for those that any route may answer
}

type param struct {
	name     string
	required bool
	means    string
}

// endpoints has an entry for each route, by method and path, but for the profiles.
func endpoints() map[string]endpoint {
	all := map[string]endpoint{}
	for _, some := range []map[string]endpoint{registryReads(), registryChanges(), clusterReads(), clusterChanges()} {
		maps.Copy(all, some)
	}
	return all
}

const exampleProducer = `{"remote_address":"10.0.0.5:52708","hostname":"web1","broadcast_address":"web1","tcp_port":4150,"http_port":4151,"version":"1.3.0"`

func registryReads() map[string]endpoint {
	topic := param{"topic", true, "name of the topic; `*` means all of them"}
	return map[string]endpoint{
		"GET /ping": {answer: "OK"},
		"GET /info": {answer: `{"version":"0.2.0","name":"r1","id":"9dfb1364867317d12cc32452a4a68d8c"}`},
		"GET /lookup": {
			params: append([]param{topic}, readParams()...),
			answer: `{"channels":["archive"],"producers":[` + exampleProducer + `}]}`,
			fails:  readFails("INVALID_REQUEST", "MISSING_ARG_TOPIC", "TOPIC_NOT_FOUND"),
		},
		"GET /topics": {params: readParams(), answer: `{"topics":["greetings"]}`, fails: readFails()},
		"GET /channels": {
			params: append([]param{topic}, readParams()...),
			answer: `{"channels":["archive"]}`,
			fails:  readFails("INVALID_REQUEST", "MISSING_ARG_TOPIC"),
		},
		"GET /nodes": {
			params: readParams(),
			answer: `{"producers":[` + exampleProducer + `,"tombstones":[false],"topics":["greetings"]}]}`,
			fails:  readFails(),
		},
		"GET /watch": {
			params: []param{{"topic", false, "name of a topic, repeatable; without one, all topics"}},
			answer: "text/event-stream: an event `topic` with the topic's channels and producers as /lookup has them, its name and its index, `gone` for " +
				"one that there is not, `ready` when all has been told, `resync` before it is told anew; a comment every 10 s while nothing changes",
			fails: []string{"INVALID_REQUEST", "INVALID_ARG_TOPIC", "TOO_MANY_TOPICS", "INVALID_LAST_EVENT_ID", "NOT_READY"},
		},
		"GET /debug": {
			answer: `{"channel:greetings:archive":[{"broadcast_address":"web1","hostname":"web1","http_port":4151,"id":"10.0.0.5:52708",` +
				`"last_update":1700000000000000000,"tcp_port":4150,"tombstoned":false,"tombstoned_at":-6795364578871345152,"version":"1.3.0"}], …}`,
			fails: []string{"NOT_READY"},
		},
	}
}

// readParams are the parameters of every read of the registry.
func readParams() []param {
	return []param{
		{"consistency", false, "what the answer may miss: `local`, `leader` or `linearizable`; `-read-consistency` says what it is without"},
		{"max_stale", false, "refuse a local read when the answer may lack what was committed longer ago than that, like 5s"},
		{"index", false, "answer when this has changed after that `X-Raftlookup-Index`"},
		{"wait", false, "but no later than that, like 30s, which it is without; 10m at most"},
	}
}

// readFails are what every read of the registry may be answered.
func readFails(more ...string) []string {
	return append(more, "INVALID_ARG_CONSISTENCY", "INVALID_ARG_MAX_STALE", "INVALID_ARG_INDEX", "INVALID_ARG_WAIT",
		"NOT_READY", "NO_LEADER", "NOT_CONFIRMED", "STALE")
}

// changeFails are what every change of the registry may be answered.
func changeFails(more ...string) []string {
	return append(append([]string{"INVALID_REQUEST", "MISSING_ARG_TOPIC"}, more...), "NO_LEADER", "NOT_COMMITTED", "OVERLOADED", "CLOSED")
}

func registryChanges() map[string]endpoint {
	const empty = "an empty body"
	topic := param{"topic", true, "name of the topic"}
	anyTopic := param{"topic", true, "name of the topic; `*` means all of them"}
	channel := param{"channel", true, "name of the channel"}
	return map[string]endpoint{
		"POST /topic/create": {params: []param{topic}, answer: empty, fails: changeFails("INVALID_ARG_TOPIC")},
		"POST /topic/delete": {params: []param{anyTopic}, answer: empty, fails: changeFails()},
		"POST /topic/tombstone": {
			params: []param{anyTopic, {"node", true, "broadcast_address:http_port of the producer"}},
			answer: empty,
			fails:  changeFails("MISSING_ARG_NODE"),
		},
		"POST /channel/create": {
			params: []param{topic, channel},
			answer: empty,
			fails:  changeFails("INVALID_ARG_TOPIC", "MISSING_ARG_CHANNEL", "INVALID_ARG_CHANNEL"),
		},
		"POST /channel/delete": {
			params: []param{topic, channel},
			answer: empty,
			fails:  changeFails("INVALID_ARG_TOPIC", "MISSING_ARG_CHANNEL", "INVALID_ARG_CHANNEL", "CHANNEL_NOT_FOUND"),
		},
	}
}

func clusterReads() map[string]endpoint {
	return map[string]endpoint{
		"GET /livez": {answer: "OK"},
		"GET /readyz": {
			params: []param{{"verbose", false, "with any value or none: a line each, as text, of what matters for that"}},
			answer: "OK",
		},
		"GET /cluster/status": {},
		"GET /cluster/fingerprint": {
			params: []param{{"index", false, "of the log; the newest that has been applied when there is none. One that is not applied yet is awaited for a second"}},
			answer: `{"index":3,"fingerprint":"258ab6870f51e2da94fd5a8a216c339e"}`,
			fails:  []string{"INVALID_REQUEST", "INVALID_ARG_INDEX", "INDEX_TOO_OLD", "INDEX_NOT_REACHED"},
		},
		"GET /cluster/snapshot": {
			answer: "a file, as application/octet-stream; when it cannot be sent to its end, the connection breaks",
			fails:  []string{"INVALID_REQUEST", "NOT_READY"},
		},
	}
}

func clusterChanges() map[string]endpoint {
	force := func(means string) param { return param{"force", false, "true: " + means} }
	return map[string]endpoint{
		"POST /cluster/join": {
			params: []param{{"address", true, "gossip address of a replica of that cluster, host or host:port (4163)"}},
			answer: `{"message":"JOINING"}
{"message":"MEMBER"}     when it is part of that cluster already`,
			fails: []string{"INVALID_REQUEST", "MISSING_ARG_ADDRESS", "JOIN_REFUSED", "NO_ANSWER"},
		},
		"POST /cluster/leave": {
			params: []param{force("take dead replicas out first, should too few remain")},
			answer: `{"message":"LEFT"}`,
			fails:  []string{"INVALID_REQUEST", "INVALID_ARG_FORCE", "LEAVE_REFUSED", "NO_LEADER", "NOT_COMMITTED"},
		},
		"POST /cluster/remove": {
			params: []param{{"name", false, "name of the dead replica; this or `id`"}, {"id", false, "its id, where two have the same name"},
				force("take dead replicas out first, should too few remain")},
			answer: `{"id":"9dfb1364867317d12cc32452a4a68d8c","message":"REMOVED"}`,
			fails: []string{"INVALID_REQUEST", "INVALID_ARG_FORCE", "MISSING_ARG_NAME", "NO_SUCH_REPLICA", "REMOVE_REFUSED",
				"NO_LEADER", "NOT_COMMITTED"},
		},
		"POST /cluster/transfer": {
			params: []param{{"name", false, "name of the voter that is to lead"}},
			answer: `{"leader":"r2","message":"TRANSFERRED"}`,
			fails:  []string{"INVALID_REQUEST", "NO_SUCH_REPLICA", "TRANSFER_REFUSED", "NO_LEADER", "NOT_COMMITTED"},
		},
		"POST /cluster/restore": {
			params: []param{force("also a file of another cluster")},
			answer: `{"message":"RESTORED","topics_created":1,"channels_created":1,"topics_removed":0,"channels_removed":0,"topics_kept":0,"channels_kept":0,"index":9}`,
			fails: []string{"INVALID_REQUEST", "INVALID_ARG_FORCE", "BAD_SNAPSHOT", "FOREIGN_SNAPSHOT", "RESTORING", "TOO_LARGE",
				"NOT_READY", "NO_LEADER", "NOT_COMMITTED", "OVERLOADED", "CLOSED"},
		},
	}
}
