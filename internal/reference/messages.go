package reference

import (
	"errors"
	"fmt"
	"go/ast"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// told is an error message of the HTTP API, what it means and what to do about it.
type told struct {
	code     int
	word     string
	means    string
	advice   string
	anywhere bool // any route may answer it, so none lists it
}

// messages are sorted by code.
func messages() []told {
	return slices.Concat(requestMessages(), absenceMessages(), refusalMessages(), replicaMessages())
}

func requestMessages() []told {
	return []told{
		{400, "INVALID_REQUEST", "the query cannot be parsed, or the body is too long or came too slowly", "encode the query; send no body where none is asked for", false},
		{400, "MISSING_ARG_TOPIC", "there is no `topic`", "add it to the query", false},
		{400, "INVALID_ARG_TOPIC", "the topic's name is not valid", "1 to 64 of the characters . _ - a-z A-Z 0-9, with #ephemeral at the end or not (%23 in a query)", false},
		{400, "MISSING_ARG_CHANNEL", "there is no `channel`", "add it to the query", false},
		{400, "INVALID_ARG_CHANNEL", "the channel's name is not valid", "as for a topic", false},
		{400, "MISSING_ARG_NODE", "there is no `node`", "add it: an nsqd's broadcast_address:http_port", false},
		{400, "MISSING_ARG_ADDRESS", "there is no `address`", "add it: a gossip address of a replica of the cluster to join", false},
		{400, "MISSING_ARG_NAME", "there is neither `name` nor `id`", "add one of them: /cluster/status has both", false},
		{400, "INVALID_ARG_INDEX", "`index` is no number", "give one from a /cluster/fingerprint, a /cluster/status, or the X-Raftlookup-Index of a read", false},
		{400, "INVALID_ARG_CONSISTENCY", "`consistency` is no level", "local, leader or linearizable", false},
		{400, "INVALID_ARG_MAX_STALE", "`max_stale` is no duration, or below 0", "like 5s", false},
		{400, "TOO_MANY_TOPICS", "more than 1,000 topics are to be watched on one connection", "watch all of them, or use several connections", false},
		{400, "INVALID_LAST_EVENT_ID", "`Last-Event-ID` is no number", "send the id of the last event as it came, or none", false},
		{400, "INVALID_ARG_WAIT", "`wait` is no duration, or below 0", "like 30s", false},
		{400, "INVALID_ARG_FORCE", "`force` is neither true nor false", "say true, or leave it out", false},
		{400, "BAD_SNAPSHOT", "the file is damaged, of a newer version, or no snapshot; nothing was restored", "the reason says what is wrong with it; take another file", false},
	}
}

func absenceMessages() []told {
	return []told{
		{404, "NOT_FOUND", "there is no such path", "see the list of routes", true},
		{404, "TOPIC_NOT_FOUND", "there is no such topic", "none has been created or registered, or it was deleted; consumers ask again later", false},
		{404, "CHANNEL_NOT_FOUND", "there is no such channel of the topic", "/channels lists those that there are", false},
		{404, "NO_SUCH_REPLICA", "the cluster has no replica of that name or id", "/cluster/status lists them", false},
		{405, "METHOD_NOT_ALLOWED", "the path takes another method", "the header Allow says which", true},
	}
}

func refusalMessages() []told {
	const reason = "the reason says why, and what to do"
	return []told{
		{409, "JOIN_REFUSED", "this replica does not join", reason, false},
		{409, "LEAVE_REFUSED", "this replica does not leave", reason, false},
		{409, "REMOVE_REFUSED", "the replica was not taken out", reason, false},
		{409, "TRANSFER_REFUSED", "leadership was not moved", reason, false},
		{409, "FOREIGN_SNAPSHOT", "the file is of another cluster; nothing was restored", "if it is meant all the same, add force=true", false},
		{409, "RESTORING", "this replica is restoring another file; nothing was restored", "try again when that is done", false},
		{410, "INDEX_TOO_OLD", "the fingerprint at that index is not remembered any more", "ask for a newer index, or for none", false},
		{413, "TOO_LARGE", "the file is longer than a restore takes; nothing was restored", "the reason says how long it may be", false},
	}
}

func replicaMessages() []told {
	return []told{
		{500, "INTERNAL_ERROR", "an error that should not be", "the replica's log says more; please report it", true},
		{502, "NO_ANSWER", "nobody answers at the gossip address", "the reason says how it was tried; check the address and the network", false},
		{503, "NOT_READY", "this replica has not caught up since its start", "ask another one, or again: go-nsq and nsqadmin do by themselves", false},
		{503, "STALE", "the answer may lack what was committed longer ago than `max_stale`", "ask another one, or take what is there without max_stale", false},
		{503, "NOT_CONFIRMED", "no majority has confirmed in time that the leader leads; from /channels without `consistency`: and this replica knows no channel", "ask again, or another one; if it lasts, see members in /cluster/status", false},
		{503, "NO_LEADER", "no leader is known", "an election takes a second; if it lasts, a majority of the voters is missing: see members in /cluster/status. A change may still be made when there is one", false},
		{503, "NOT_COMMITTED", "the change was not committed in time; it may be later", "look whether it is done, then try again: doing it twice does no harm", false},
		{503, "INDEX_NOT_REACHED", "this replica has not applied that index yet", "try again; lag in /cluster/status says how far behind it is", false},
		{503, "OVERLOADED", "too many changes wait to be committed", "try again in a moment", false},
		{503, "CLOSED", "this replica is stopping", "ask another one", false},
		{503, "REQUEST_CANCELED", "the client hung up; only the log shows it", "give the request more time", true},
	}
}

// elsewhere has the words in capitals that are in the code and that no HTTP request is answered.
func elsewhere() []string {
	return []string{
		"INVALID_ARGUMENT", // the HTTP API itself takes no text that is too long
		"ISOLATED",         // nsqds are told so
	}
}

var capitals = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)

// messageWords are the words that the sources have for clients.
func messageWords(src *sources) map[string]bool {
	words := map[string]bool{}
	for _, s := range []*source{src.httpapi, src.cluster, src.daemon} {
		s.inspect(func(n ast.Node) {
			e, ok := n.(ast.Expr)
			if !ok {
				return
			}
			if word, ok := text(e); ok && len(word) > 3 && capitals.MatchString(word) {
				words[word] = true
			}
		})
	}
	src.daemon.calls("asRefusal", func(args []ast.Expr) {
		if verb, ok := text(args[0]); ok {
			delete(words, verb)
			words[verb+"_REFUSED"] = true
		}
	})
	return words
}

// checkMessages finds words that are not described, and descriptions that are of no word, of another
// code, or of no route. done are the words of answers that are no errors.
func checkMessages(src *sources, done string, routes map[string]endpoint) error {
	words := messageWords(src)
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	listed := map[string]bool{}
	for _, e := range routes {
		for _, word := range e.fails {
			listed[word] = true
		}
	}
	codes := messageCodes(src.httpapi)
	for _, m := range messages() {
		if !words[m.word] {
			complain("%s is in messages(), but not in the code", m.word)
		}
		delete(words, m.word)
		if code, known := codes[m.word]; known && code != m.code {
			complain("%s is answered with %d, messages() says %d", m.word, code, m.code)
		}
		if listed[m.word] == m.anywhere {
			complain("%s: say in endpoints() which route answers it, or in messages() that any may", m.word)
		}
		delete(listed, m.word)
	}
	for _, word := range elsewhere() {
		if !words[word] {
			complain("%s is in elsewhere(), but not in the code", word)
		}
		delete(words, word)
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if !strings.Contains(done, `"`+word+`"`) {
			complain("%s is in the code: say in messages() what it means, or show it in an answer of endpoints()", word)
		}
	}
	for _, word := range slices.Sorted(maps.Keys(listed)) {
		complain("%s is in endpoints(), but not in messages()", word)
	}
	return errors.Join(problems...)
}

// messageCodes are the status codes of the messages whose calls of message() have both as literals.
func messageCodes(src *source) map[string]int {
	names := map[string]int{}
	for code := 100; code < 600; code++ {
		name := strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(code))
		if name != "" {
			names["Status"+name] = code
		}
	}
	codes := map[string]int{}
	src.calls("message", func(args []ast.Expr) {
		if len(args) != 2 {
			return
		}
		word, ok := text(args[1])
		if code, named := args[0].(*ast.SelectorExpr); ok && named {
			codes[word] = names[code.Sel.Name]
		}
	})
	return codes
}

// shown is a message as the pages name it.
func (m told) shown() string { return code(strconv.Itoa(m.code) + " " + m.word) }
