package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"
)

// Answers are compared as text in one form: what must differ between two programs is masked, what
// nsqlookupd v1.3.0 does not have is left out, and lists are sorted, for nsqlookupd's order is random.
// Everything else, the order of fields included, stays as it came.

// masked lists the fields whose values differ between two programs; their types must not.
var masked = map[string]bool{
	"remote_address": true, "id": true, "last_update": true, "tombstoned_at": true,
}

// identifyMasked lists the same for the answer to IDENTIFY.
var identifyMasked = map[string]bool{
	"tcp_port": true, "http_port": true, "version": true, "hostname": true, "broadcast_address": true,
}

// leftOut lists what nsqlookupd has on its master branch only.
var leftOut = map[string]bool{"topology_zone": true, "topology_region": true}

// ignoredHeaders differ from one answer to the next, or follow from the body's length.
var ignoredHeaders = []string{"Date", "Content-Length", "Etag"}

// ownHeaders begin the names of raftlookupd's additional headers.
const ownHeaders = "X-Raftlookup-"

// canonicalAnswer renders an answer to a request for path. How a profile's body looks is the runtime's
// business, and /info may say more beside the version.
func canonicalAnswer(path string, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if slices.Contains(ignoredHeaders, name) || strings.HasPrefix(name, ownHeaders) {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(a.Header[name], ", "))
	}
	switch {
	case a.Status == http.StatusOK && strings.HasPrefix(path, "/debug/pprof") && !strings.HasSuffix(path, "/symbol"):
	case a.Status == http.StatusOK && path == "/info":
		b.WriteString(canonicalInfo(a.Body))
	case strings.HasPrefix(a.Header.Get("Content-Type"), "application/json"):
		b.WriteString(canonicalJSON(a.Body, masked))
	default:
		b.Write(a.Body)
	}
	return b.String()
}

// canonicalInfo keeps only whether the version looks like one.
func canonicalInfo(body []byte) string {
	var info struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return string(body)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(info.Version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return "no semantic version: " + string(body)
	}
	return "a semantic version"
}

// canonicalJSON returns what is not JSON as it is: then the bytes are compared.
func canonicalJSON(body []byte, mask map[string]bool) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, err := readValue(dec, mask)
	if err != nil || dec.InputOffset() != int64(len(body)) {
		return string(body)
	}
	return v.text
}

// value is a JSON value in canonical form; items are set for an array only, in their own order.
type value struct {
	text  string
	items []string
}

func readValue(dec *json.Decoder, mask map[string]bool) (value, error) {
	tok, err := dec.Token()
	if err != nil {
		return value{}, err
	}
	switch tok {
	case json.Delim('{'):
		return readObject(dec, mask)
	case json.Delim('['):
		return readArray(dec, mask)
	}
	text, err := json.Marshal(tok)
	return value{text: string(text)}, err
}

func readArray(dec *json.Decoder, mask map[string]bool) (value, error) {
	items := []string{}
	for dec.More() {
		v, err := readValue(dec, mask)
		if err != nil {
			return value{}, err
		}
		items = append(items, v.text)
	}
	_, err := dec.Token()
	return value{text: sortedList(items), items: items}, err
}

func sortedList(items []string) string {
	return "[" + strings.Join(slices.Sorted(slices.Values(items)), ",") + "]"
}

// field is one member of an object.
type field struct {
	name string
	value
}

func readObject(dec *json.Decoder, mask map[string]bool) (value, error) {
	var fields []field
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return value{}, err
		}
		name := fmt.Sprint(tok)
		v, err := readValue(dec, mask)
		if err != nil {
			return value{}, err
		}
		if mask[name] {
			v = value{text: maskOf(v.text)}
		}
		if !leftOut[name] {
			fields = append(fields, field{name, v})
		}
	}
	_, err := dec.Token()
	return value{text: renderObject(fields)}, err
}

// maskOf keeps a value's type.
func maskOf(text string) string {
	if strings.HasPrefix(text, `"`) {
		return "(string)"
	}
	return "(number)"
}

func renderObject(fields []field) string {
	pairTombstones(fields)
	if isDebug(fields) {
		sort.Slice(fields, func(i, j int) bool { return fields[i].name < fields[j].name })
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.name + ":" + f.text
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// pairTombstones keeps topics and tombstones together, of which /nodes makes two lists in one order.
func pairTombstones(fields []field) {
	topics := slices.IndexFunc(fields, func(f field) bool { return f.name == "topics" && f.items != nil })
	stones := slices.IndexFunc(fields, func(f field) bool { return f.name == "tombstones" && f.items != nil })
	if topics < 0 || stones < 0 || len(fields[topics].items) != len(fields[stones].items) {
		return
	}
	pairs := make([]string, len(fields[topics].items))
	for i, topic := range fields[topics].items {
		pairs[i] = topic + "=" + fields[stones].items[i]
	}
	fields[topics].text, fields[stones].text = sortedList(pairs), "(with the topics)"
}

// isDebug recognizes the body of /debug, whose keys are category:topic:channel. Their order means nothing.
func isDebug(fields []field) bool {
	return len(fields) > 0 && strings.Count(fields[0].name, ":") == 2
}

func TestCanonicalJSON(t *testing.T) {
	tests := []struct{ name, a, b string }{
		{"order of a list", `{"topics":["a","b"]}`, `{"topics":["b","a"]}`},
		{"addresses", `{"remote_address":"127.0.0.1:1","x":1}`, `{"remote_address":"127.0.0.1:2","x":1}`},
		{"tombstones follow their topics", `{"tombstones":[true,false],"topics":["a","b"]}`,
			`{"tombstones":[false,true],"topics":["b","a"]}`},
		{"topology", `{"x":1,"topology_zone":"z"}`, `{"x":1}`},
		{"order of debug rows", `{"topic:a:":[],"topic:b:":[]}`, `{"topic:b:":[],"topic:a:":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := canonicalJSON([]byte(tt.a), masked), canonicalJSON([]byte(tt.b), masked); a != b {
				t.Errorf("differ:\n%s\n%s", a, b)
			}
		})
	}
}

func TestCanonicalJSONShowsDifferences(t *testing.T) {
	tests := []struct{ name, a, b string }{
		{"order of fields", `{"x":1,"y":2}`, `{"y":2,"x":1}`},
		{"a member twice", `{"topics":["a","a"]}`, `{"topics":["a"]}`},
		{"type of a masked field", `{"remote_address":"1"}`, `{"remote_address":1}`},
		{"tombstones of other topics", `{"tombstones":[true,false],"topics":["a","b"]}`,
			`{"tombstones":[false,true],"topics":["a","b"]}`},
		{"null and empty", `{"topics":[]}`, `{"topics":null}`},
		{"a missing field", `{"x":1,"y":2}`, `{"x":1}`},
		{"bytes after the end", `{"x":1}`, "{\"x\":1}\n"},
		{"another row of debug", `{"topic:a:":[]}`, `{"topic:b:":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a := canonicalJSON([]byte(tt.a), masked); a == canonicalJSON([]byte(tt.b), masked) {
				t.Errorf("both become %s", a)
			}
		})
	}
}
