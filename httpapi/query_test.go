package httpapi

import (
	"net/url"
	"strings"
	"testing"
)

func FuzzQuery(f *testing.F) {
	for _, raw := range []string{
		"", "topic=t", "topic", "topic=", "=t", "&", "&&topic=t&", "topic=a&topic=b", "topic=a=b", "topics=a&topic=b",
		"topic=a%20b", "topic=a+b", "%74opic=t", "topic=%", "topic=t&x=%zz", "topic=t;", "a;b&topic=t", "topic=\x00\xff",
		"node=a:4151&topic=t", "channel=c%23ephemeral&topic=t#", strings.Repeat("&", maxPlainPairs) + "topic=t",
		strings.Repeat("&", 10000) + "topic=t", strings.Repeat("a&", 9999) + "topic=t",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		want, wantErr := url.ParseQuery(raw)
		got, err := parseQuery(raw)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: error %v, url.ParseQuery says %v", raw, err, wantErr)
		}
		if err != nil {
			return
		}
		for _, key := range []string{"topic", "channel", "node", "index"} {
			value, ok := got.get(key)
			values, wantOK := want[key]
			if ok != wantOK || ok && value != values[0] {
				t.Fatalf("%q: %s is %q, %v; url.ParseQuery says %q, %v", raw, key, value, ok, values, wantOK)
			}
		}
	})
}

func TestPlainQueriesAreNotParsed(t *testing.T) {
	for raw, plain := range map[string]bool{
		"topic=t&x=y": true, "": true, "topic=t%20": false, "topic=a+b": false,
		strings.Repeat("&", maxPlainPairs-1): true, strings.Repeat("&", maxPlainPairs): false,
	} {
		q, err := parseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.values == nil; got != plain {
			t.Errorf("%q: plain %v, want %v", raw, got, plain)
		}
	}
}
