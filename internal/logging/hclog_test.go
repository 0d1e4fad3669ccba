package logging

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestHCLog(t *testing.T) {
	var out bytes.Buffer
	h := HCLog(newText(t, &out, "debug"), "raft")
	for _, c := range []struct {
		log  func()
		want string
	}{
		{func() { h.Info("entering leader state", "leader", "r1") }, `INFO: entering leader state component=raft leader=r1`},
		{func() { h.Debug("votes", "needed", 1) }, `DEBUG: votes component=raft needed=1`},
		{func() { h.Warn("w") }, `WARNING: w component=raft`},
		{func() { h.Error("e") }, `ERROR: e component=raft`},
		{func() { h.Log(hclog.Info, "i", "k", "v") }, `INFO: i component=raft k=v`},
		{func() { h.Info("m", "of", hclog.Fmt("%d / %d", 1, 2)) }, `INFO: m component=raft of="1 / 2"`},
		{func() { h.Info("m", "alone") }, `INFO: m component=raft EXTRA_VALUE_AT_END=alone`},
		{func() { h.With("id", 7).Named("net").Info("m") }, `INFO: m component=raft.net id=7`},
		{func() { h.With("id", 7).ResetNamed("snap").Info("m") }, `INFO: m component=snap id=7`},
		{func() { h.ResetNamed("").Info("m") }, `INFO: m`},
	} {
		c.log()
		if got := line(t, &out); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	h.Trace("nobody reads this")
	h.Log(hclog.Off, "nor this")
	if out.Len() != 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestHCLogKnowsItsLevel(t *testing.T) {
	for level, want := range map[string]hclog.Level{
		"debug": hclog.Debug, "info": hclog.Info, "warn": hclog.Warn, "error": hclog.Error, "fatal": hclog.Off,
	} {
		h := HCLog(newText(t, &bytes.Buffer{}, level), "raft")
		h.SetLevel(hclog.Trace) // the level stays the logger's
		if got := h.GetLevel(); got != want {
			t.Errorf("%s: level %v, want %v", level, got, want)
		}
		is := []bool{h.IsTrace(), h.IsDebug(), h.IsInfo(), h.IsWarn(), h.IsError()}
		for i, at := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
			if is[i] != (at >= want) {
				t.Errorf("%s: Is%v = %v", level, at, is[i])
			}
		}
	}
}

func TestHCLogNamesAndImpliedArgs(t *testing.T) {
	h := HCLog(newText(t, &bytes.Buffer{}, "info"), "raft").With("a", 1)
	if h.Name() != "raft" || h.Named("x").Name() != "raft.x" || h.ResetNamed("y").Name() != "y" {
		t.Errorf("names %q, %q, %q", h.Name(), h.Named("x").Name(), h.ResetNamed("y").Name())
	}
	if args := h.With("b", 2).ImpliedArgs(); len(args) != 4 || len(h.ImpliedArgs()) != 2 {
		t.Errorf("implied %v and %v", args, h.ImpliedArgs())
	}
}

func TestStandardLoggerTakesTheLevelFromTheText(t *testing.T) {
	var out bytes.Buffer
	l := HCLog(newText(t, &out, "info"), "gossip").StandardLogger(nil)
	for text, want := range map[string]string{
		"[WARN] memberlist: suspect": "WARNING: memberlist: suspect component=gossip",
		"[ERR] memberlist: bad":      "ERROR: memberlist: bad component=gossip",
		"no tag":                     "INFO: no tag component=gossip",
		"[::1]:4163 joined":          "INFO: [::1]:4163 joined component=gossip",
	} {
		l.Print(text)
		if got := line(t, &out); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	l.Print("[DEBUG] memberlist: chat")
	if out.Len() != 0 {
		t.Errorf("printed %q at level info", out.String())
	}
}

func TestStandardLoggerCanForceALevel(t *testing.T) {
	var out bytes.Buffer
	h := HCLog(newText(t, &out, "info"), "")
	h.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Error}).Print("[DEBUG] loud")
	if got := line(t, &out); got != "ERROR: loud" {
		t.Errorf("got %s", got)
	}
}

func TestHCLogDisabledFormatsNothing(t *testing.T) {
	h := HCLog(newText(t, &bytes.Buffer{}, "info"), "raft")
	if n := testing.AllocsPerRun(100, func() { h.Debug("m", "k", "v") }); n != 0 {
		t.Errorf("%v allocations for a disabled record", n)
	}
	if !strings.HasPrefix(levelName(levelTrace), "DEBUG") {
		t.Error("trace has no name")
	}
}
