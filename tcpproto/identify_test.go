package tcpproto

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
)

const (
	noSize   = "E_BAD_BODY IDENTIFY failed to read body size"
	noBody   = "E_BAD_BODY IDENTIFY failed to read body"
	noJSON   = "E_BAD_BODY IDENTIFY failed to decode JSON body"
	noFields = "E_BAD_BODY IDENTIFY missing fields"
)

func badSize(n int64) string {
	return fmt.Sprintf("E_BAD_BODY IDENTIFY body size %d is not between 0 and 65536", n)
}

// padded is a good body of n bytes.
func padded(n int) string { return identifyBody + strings.Repeat(" ", n-len(identifyBody)) }

// All of these are fatal and open no session.
func badIdentifies() map[string][2]string {
	cases := map[string][2]string{
		"no size":          {"IDENTIFY\n", noSize},
		"half a size":      {"IDENTIFY\n\x00\x00\x00", noSize},
		"size -2^31":       {sized(math.MinInt32, identifyBody), badSize(math.MinInt32)},
		"size -1":          {sized(-1, identifyBody), badSize(-1)},
		"size 0":           {sized(0, "PING\n"), noJSON},
		"size 1":           {sized(1, "{PING\n"), noJSON},
		"65536, 1 missing": {sized(65536, padded(65535)), noBody},
		"65536, 0 there":   {sized(65536, ""), noBody},
		"size 65537":       {sized(65537, padded(65537)), badSize(65537)},
		"size 2^31-1":      {sized(math.MaxInt32, identifyBody), badSize(math.MaxInt32)},
		"more than comes":  {sized(1000, identifyBody), noBody},
	}
	for name, body := range map[string]string{
		"no json": "hello", "half": `{"version":`, "two": identifyBody + identifyBody, "array": "[]", "string": `"x"`,
		"number": "1", "true": "true", "nul": "\x00",
		"port is a string":           strings.Replace(identifyBody, "4150", `"4150"`, 1),
		"port is a fraction":         strings.Replace(identifyBody, "4150", "4150.5", 1),
		"port has an exponent":       strings.Replace(identifyBody, "4150", "4e3", 1),
		"port is too large":          strings.Replace(identifyBody, "4150", "9223372036854775808", 1),
		"version is a number":        strings.Replace(identifyBody, `"1.3.0"`, "1", 1),
		"hostname is a number":       strings.Replace(identifyBody, `"h1"`, "1", 1),
		"address is an object":       strings.Replace(identifyBody, `"10.0.0.1"`, "{}", 1),
		"remote_address is a number": strings.Replace(identifyBody, "{", `{"remote_address":1,`, 1),
		"too deep":                   strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	} {
		cases[name] = [2]string{identify(body), noJSON}
	}
	for name, body := range map[string]string{
		"null": "null", "empty": "{}", "spaced null": " null ",
		"no address": strings.Replace(identifyBody, "broadcast_address", "x", 1),
		"no tcp":     strings.Replace(identifyBody, "tcp_port", "x", 1),
		"no http":    strings.Replace(identifyBody, "http_port", "x", 1),
		"no version": strings.Replace(identifyBody, `"version"`, `"x"`, 1),
		"zero port":  strings.Replace(identifyBody, "4151", "0", 1),
		"null port":  strings.Replace(identifyBody, "4151", "null", 1),
		"empty name": strings.Replace(identifyBody, "10.0.0.1", "", 1),
	} {
		cases[name] = [2]string{identify(body), noFields}
	}
	return cases
}

func TestBadIdentify(t *testing.T) {
	for name, tc := range badIdentifies() {
		t.Run(name, func(t *testing.T) {
			r := &fakeReplica{}
			_, addr := start(t, Config{Open: r.open})
			if got, want := talk(t, addr, magicV1+tc[0]), []string{tc[1]}; !slices.Equal(got, want) {
				t.Errorf("answers %q, want %q", got, want)
			}
			if r.count() != 0 {
				t.Error("a session was opened")
			}
		})
	}
}

func TestGoodIdentify(t *testing.T) {
	full := fsm.ProducerInfo{Hostname: "h1", BroadcastAddress: "10.0.0.1", TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}
	with := func(alter func(*fsm.ProducerInfo)) fsm.ProducerInfo {
		info := full
		alter(&info)
		return info
	}
	add := func(member string) string { return strings.Replace(identifyBody, "{", "{"+member+",", 1) }
	zoned := with(func(i *fsm.ProducerInfo) { i.TopologyZone, i.TopologyRegion = "z", "r" })
	for _, tc := range []struct {
		name, say string
		want      fsm.ProducerInfo
	}{
		{"plain", identify(identifyBody), full},
		{"params", "IDENTIFY x y" + strings.TrimPrefix(identify(identifyBody), "IDENTIFY"), full},
		{"space around", " IDENTIFY \r" + strings.TrimPrefix(identify(identifyBody), "IDENTIFY"), full},
		{"65535 bytes", identify(padded(65535)), full},
		{"65536 bytes", identify(padded(65536)), full},
		{"unknown fields", identify(add(`"x":[{}],"lastUpdate":"1","id":5`)), full},
		{"own remote_address", identify(add(`"remote_address":"1.2.3.4:5"`)), full},
		{"other case", identify(strings.ToUpper(identifyBody)),
			with(func(i *fsm.ProducerInfo) { i.Hostname = "H1" })},
		{"last one wins", identify(add(`"tcp_port":1`)), full},
		{"odd ports", identify(strings.NewReplacer("4150", "-1", "4151", "70000").Replace(identifyBody)),
			with(func(i *fsm.ProducerInfo) { i.TCPPort, i.HTTPPort = -1, 70000 })},
		{"no hostname", identify(strings.Replace(identifyBody, "hostname", "x", 1)),
			with(func(i *fsm.ProducerInfo) { i.Hostname = "" })},
		{"invalid utf-8", identify(strings.Replace(identifyBody, "h1", "\xff", 1)),
			with(func(i *fsm.ProducerInfo) { i.Hostname = "\ufffd" })},
		{"topology", identify(add(`"topology_zone":"z","topology_region":"r"`)), zoned},
		{"topology of wrong type", identify(add(`"topology_zone":{"a":[1]},"topology_region":7`)), full},
		{"topology null", identify(add(`"topology_zone":null,"topology_region":false`)), full},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &fakeReplica{}
			_, addr := start(t, Config{Open: r.open})
			nc := dial(t, addr)
			send(t, nc, magicV1+"PING\n"+tc.say+"PING\n")
			expect(t, nc, "OK")
			expect(t, nc, testGreetingJSON)
			expect(t, nc, "OK")
			want := tc.want
			want.RemoteAddress = nc.LocalAddr().String()
			if got := r.only(t).info; got != want {
				t.Errorf("info %+v, want %+v", got, want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	r := &fakeReplica{openErr: errFake}
	_, addr := start(t, Config{Open: r.open})
	got := talk(t, addr, magicV1+identify(identifyBody)+"PING\n")
	if want := []string{"E_UNAVAILABLE IDENTIFY no nsqd is taken now"}; !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
}
