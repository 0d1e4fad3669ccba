package tcpproto

import "errors"

// ErrCloseTimeout is what Server.Close returns when a connection's goroutine did not end within
// Config.CloseTimeout, because its Session does not return.
var ErrCloseTimeout = errors.New("connections still busy after close timeout")

// The codes of error answers. The first five are nsqlookupd's, the last two our own.
const (
	codeBadProtocol = "E_BAD_PROTOCOL"
	codeInvalid     = "E_INVALID"
	codeBadBody     = "E_BAD_BODY"
	codeBadTopic    = "E_BAD_TOPIC"
	codeBadChannel  = "E_BAD_CHANNEL"
	codePending     = "E_PENDING"
	codeUnavailable = "E_UNAVAILABLE"
)

// protocolError is an error that the client is told about.
type protocolError struct {
	code  string
	text  string // may be empty
	fatal bool   // the connection ends after the answer
	cause error  // for the log only; may be nil
}

// Error is the answer that goes over the wire.
func (e *protocolError) Error() string {
	if e.text == "" {
		return e.code
	}
	return e.code + " " + e.text
}

func (e *protocolError) Unwrap() error { return e.cause }

func fatal(code, text string, cause error) *protocolError {
	return &protocolError{code: code, text: text, fatal: true, cause: cause}
}
