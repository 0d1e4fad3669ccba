package httpapi

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxPlainPairs is well below the number of pairs that url.ParseQuery refuses (10,000 in Go 1.26).
const maxPlainPairs = 64

// query is a parsed query string. The plain ones, which is nearly all, stay the string that they
// are: then get searches it and nothing is allocated.
type query struct {
	raw    string
	values url.Values // not nil when raw is not plain
}

// parseQuery fails exactly when url.ParseQuery does, wherever in the string the fault is.
func parseQuery(raw string) (query, error) {
	// Without '%' and '+' unescaping changes nothing and cannot fail; ';' is always an error.
	if !strings.ContainsAny(raw, "%+;") && strings.Count(raw, "&") < maxPlainPairs {
		return query{raw: raw}, nil
	}
	values, err := url.ParseQuery(raw)
	return query{values: values}, err
}

// get returns the first value of the key, and whether the key is there. The key is not "".
func (q query) get(key string) (string, bool) {
	if q.values != nil {
		if v := q.values[key]; len(v) > 0 {
			return v[0], true
		}
		return "", false
	}
	for rest := q.raw; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if name, value, _ := strings.Cut(pair, "="); name == key {
			return value, true
		}
	}
	return "", false
}

// params parses the query and reads the body to its end, as nsqlookupd does for the routes that
// take parameters (nsqio/nsq, internal/http_api/req_params.go). Either fault is INVALID_REQUEST.
func params(r *http.Request) (query, bool) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return q, true
	}
	// At the body's end net/http lifts the deadline that guard has set.
	_, err = io.Copy(io.Discard, r.Body)
	return q, err == nil
}

// topicParam is params for the routes that need a topic. When problem is not nil it is the answer.
func topicParam(r *http.Request) (q query, topic string, problem *answer) {
	q, ok := params(r)
	if !ok {
		return query{}, "", &answerInvalidRequest
	}
	topic, ok = q.get("topic")
	if !ok {
		return query{}, "", &answerMissingTopic
	}
	return q, topic, nil
}
