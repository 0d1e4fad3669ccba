// Package tcpproto speaks nsqlookupd's TCP protocol V1 with nsqds: the magic "  V1", then lines
// PING, IDENTIFY, REGISTER and UNREGISTER, each answered with a 4-byte big-endian length and that
// many bytes. Answers, error texts, the order of checks, and which errors end the connection are
// those of nsqlookupd v1.3.0, byte for byte, except where this page says otherwise.
//
// Not its job: what a registration means, when it is committed, how long a session lives on
// without its connection, when an nsqd counts as inactive. That is the replica's, which gives
// sessions through Config.Open.
//
// # Bounds that nsqlookupd does not have
//
//   - A line is at most 4096 bytes, its newline included: else E_INVALID, and the end.
//   - The body of IDENTIFY is 0 to 65536 bytes; another announced size gets E_BAD_BODY, and the
//     end. (nsqlookupd panics at a negative size and allocates any other.) A size of 0 is allowed
//     and fails as JSON, as in nsqlookupd. Memory for a body grows as its bytes come.
//   - The magic must come within 5 s of accept, and IDENTIFY be complete within 15 s of accept;
//     PING does not extend that. The connection then ends without an answer, or with E_BAD_BODY
//     in the middle of a body.
//   - After IDENTIFY there is no read deadline, not within a line either: an idle nsqd costs
//     nothing, and a client that drips bytes costs only its own connection. TCP keepalive, which
//     package net turns on (15 s, 9 probes), finds peers that have vanished.
//   - An answer must be taken by the peer's TCP within 5 s, else the connection ends.
//   - After a fatal answer the server closes its sending side at once, and the connection when
//     the client hangs up, after 500 ms or 1 MiB at the latest: closing a socket with unread
//     bytes resets it, and the client could lose the answer. The session is ended before that.
//
// The times are defaults of Config.
//
// # Answers that nsqlookupd does not have
//
//	E_PENDING REGISTER is queued but not yet committed    not fatal; UNREGISTER likewise
//	E_UNAVAILABLE REGISTER was not taken                  fatal; UNREGISTER likewise
//	E_UNAVAILABLE IDENTIFY no nsqd is taken now           fatal
//	E_INVALID line is longer than 4096 bytes              fatal
//	E_BAD_BODY IDENTIFY body size N is not between 0 and 65536    fatal
//
// # Sessions
//
// A session that Config.Open gave is ended exactly once: with Close when its nsqd has ended the connection
// of its own will, or has broken the protocol, and with Detach when this replica may have caused the end.
// DESIGN.md lists the causes. There is one exception: Server.Close ends no session. A process that goes
// down leaves its sessions in the registry, where they are orphans for the grace period, so that a rolling
// restart shows consumers no gap.
//
// A client that hangs up before it has acknowledged the last answer holds its connection for up to 200 ms
// more, in which its reset may come.
//
// # Goroutines and memory
//
// Serve runs on its caller's goroutine. Each connection has one goroutine, owned by the Server and
// tracked from accept on; Server.Close waits for all of them and for Serve. Each waits for nothing
// but its socket and its Session.
//
// A silent connection has no buffer. One that has spoken holds 512 bytes, 4096 while a line needs
// it, and a stack of 4 KiB once the garbage collector has shrunk it. While IDENTIFY is read, the
// body and the decoded strings come on top: under 1 MiB for the largest body. PING allocates
// nothing, REGISTER its names.
//
// # Logging
//
// INFO for a new client, IDENTIFY and the end of a connection with its reason and what became of the
// session, ERROR for a fatal
// answer, as nsqlookupd. A client that only hangs up is no ERROR, and PING, REGISTER and
// UNREGISTER are DEBUG. Text that a client chose is cut to 256 bytes and stripped of control
// characters.
package tcpproto
