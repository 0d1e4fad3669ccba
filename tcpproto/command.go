package tcpproto

import (
	"bytes"
	"context"
	"log/slog"
	"strings"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// exec carries out one line and returns the framed answer. What is checked, in which order, and
// each text are nsqlookupd's (nsqio/nsq, nsqlookupd/lookup_protocol_v1.go).
func (c *conn) exec(line []byte) ([]byte, *protocolError) {
	command, params := cut(bytes.TrimSpace(line))
	switch string(command) {
	case "PING":
		return c.ping(), nil
	case "IDENTIFY":
		return c.identify()
	case "REGISTER":
		return c.change("REGISTER", params)
	case "UNREGISTER":
		return c.change("UNREGISTER", params)
	}
	return nil, fatal(codeInvalid, "invalid command "+string(command), nil)
}

// ping is allowed before IDENTIFY.
func (c *conn) ping() []byte {
	if c.session != nil {
		c.session.Ping()
		if c.debug() {
			c.srv.log.Debug("PING", "client", c.remote)
		}
	}
	return c.srv.ok
}

// change carries out REGISTER and UNREGISTER.
func (c *conn) change(command string, params []byte) ([]byte, *protocolError) {
	if c.session == nil {
		return nil, fatal(codeInvalid, "client must IDENTIFY", nil)
	}
	if len(params) == 0 { // a line is trimmed, so there was no space either
		return nil, fatal(codeInvalid, command+" insufficient number of params", nil)
	}
	topic, channel, perr := names(command, params)
	if perr != nil {
		return nil, perr
	}
	if c.debug() {
		c.srv.log.Debug(command, "client", c.remote, "topic", topic, "channel", channel)
	}
	apply := c.session.Register
	if command == "UNREGISTER" {
		apply = c.session.Unregister
	}
	pending, err := apply(topic, channel)
	if err != nil {
		return nil, fatal(codeUnavailable, command+" was not taken", err)
	}
	if pending {
		return nil, &protocolError{code: codePending, text: command + " is queued but not yet committed"}
	}
	return c.srv.ok, nil
}

// names takes topic and channel from the params. An empty channel means none; whatever follows
// the channel is ignored.
func names(command string, params []byte) (topic, channel string, perr *protocolError) {
	first, rest := cut(params)
	second, _ := cut(rest)
	// One piece of memory for both, which a session keeps, and nothing of what follows.
	topic, channel, _ = strings.Cut(string(params[:min(len(first)+1+len(second), len(params))]), " ")
	if !fsm.ValidName(topic) {
		return "", "", fatal(codeBadTopic, command+" topic name '"+topic+"' is not valid", nil)
	}
	if channel != "" && !fsm.ValidName(channel) {
		return "", "", fatal(codeBadChannel, command+" channel name '"+channel+"' is not valid", nil)
	}
	return topic, channel, nil
}

// cut splits at the first space.
func cut(b []byte) (before, after []byte) {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// debug spares the hot path the making of log arguments.
func (c *conn) debug() bool {
	return c.srv.log.Enabled(context.Background(), slog.LevelDebug)
}
