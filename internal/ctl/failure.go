package ctl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// refusal is an answer other than 200.
type refusal struct {
	base, path string
	status     int
	code       string // the message of the answer, such as NO_LEADER
	reason     string // a sentence of the replica's, for operators; often ""
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s answers %s: %s", r.base, r.what(), cmp.Or(r.reason, r.advice()))
}

// what is the answer in short.
func (r *refusal) what() string {
	return cmp.Or(r.code, strings.TrimSpace(fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))))
}

// advice says what to do about a refusal that comes without a reason.
func (r *refusal) advice() string {
	switch r.code {
	case "NO_LEADER":
		return "no leader is known; see who is up with 'lookupctl members', then try again"
	case "NOT_COMMITTED":
		return "it was not committed in time, but still may be; look, then try again"
	case "NOT_READY":
		return "it has not caught up since its start; try again, or give another replica with --addr"
	case "CLOSED":
		return "it is stopping; give another replica with --addr"
	case "OVERLOADED":
		return "too many changes wait to be committed; try again in a moment"
	case "INVALID_ARG_TOPIC", "INVALID_ARG_CHANNEL":
		return "a name has 1 to 64 of the characters . _ - a-z A-Z 0-9, and may end in #ephemeral"
	case "TOPIC_NOT_FOUND":
		return "'lookupctl topics' lists those that there are"
	case "CHANNEL_NOT_FOUND":
		return "'lookupctl channels TOPIC' lists those that there are"
	case "INDEX_NOT_REACHED":
		return "it is behind; see how much with 'lookupctl members'"
	}
	if r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed {
		return fmt.Sprintf("it has no %s; is it a raftlookupd, and not older than this lookupctl?", r.path)
	}
	if r.status >= 300 && r.status < 400 {
		return "it sends elsewhere; give the replica's own address with --addr"
	}
	return "is it the HTTP address of a raftlookupd? Its log may say more"
}

func refusalOf(base, path string, resp *http.Response) error {
	r := &refusal{base: base, path: path, status: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	if err != nil {
		return r // its status says enough
	}
	var told struct {
		Message string `json:"message"`
		Reason  string `json:"reason"`
		Text    string `json:"status_txt"` // in the envelope of old nsqlookupds
	}
	if json.Unmarshal(body, &told) == nil {
		r.code, r.reason = told.Message, told.Reason
		if r.code == "" {
			r.code = told.Text
		}
	}
	return r
}

// isRefusal reports whether a replica refused with that code.
func isRefusal(err error, code string) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == code
}

// silence means that no answer came.
type silence struct {
	base string
	why  string
	sent bool // the request may have arrived
}

func (s *silence) Error() string { return s.base + ": " + s.why }

// silenceOf explains why a request got no answer. ctx is the request's.
func silenceOf(ctx context.Context, base string, err error) error {
	var dial *net.OpError
	s := &silence{base: base, sent: !errors.As(err, &dial) || dial.Op != "dial"}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var late *lateness
	switch {
	case errors.As(context.Cause(ctx), &late):
		s.why = late.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.why = "hangs up before its answer is complete"
	default:
		s.why = err.Error()
	}
	return s
}

// lateness is the cause for which a request is given up.
type lateness struct {
	what  string
	after time.Duration
}

func (l *lateness) Error() string { return l.what + " " + l.after.String() }

func noAnswerWithin(d time.Duration) error { return &lateness{"no answer within", d} }

func nothingMovesFor(d time.Duration) error { return &lateness{"nothing has moved for", d} }

// strange is an answer that no replica gives.
type strange struct{ base, path, got string }

func (s *strange) Error() string {
	return fmt.Sprintf("%s answers %s to %s; is it the HTTP address of a raftlookupd?", s.base, s.got, s.path)
}

// excerpt shows the beginning of what somebody else sent.
func excerpt(body []byte) string {
	const most = 40
	if len(body) == 0 {
		return "nothing"
	}
	if len(body) > most {
		return fmt.Sprintf("%q…", body[:most])
	}
	return fmt.Sprintf("%q", body)
}

// combine makes one error of what each replica that was asked did. A refusal says more than silence.
func combine(failures []error) error {
	var silent []string
	var said error
	sent := false
	for _, err := range failures {
		var s *silence
		if !errors.As(err, &s) {
			said = err
			continue
		}
		silent = append(silent, s.Error())
		sent = sent || s.sent
	}
	list := strings.Join(silent, "; ")
	switch {
	case said == nil:
		return &unanswered{list, sent}
	case len(silent) == 0:
		return said
	}
	return fmt.Errorf("%w (%s)", said, list)
}

// unanswered means that none of the replicas answered.
type unanswered struct {
	list string
	sent bool // one may have got the request all the same
}

func (u *unanswered) Error() string {
	return "no answer: " + u.list + "; is raftlookupd running there? Give another address with --addr"
}

// unsure gives another advice for what must not be done twice without a look.
func unsure(err error) error {
	var u *unanswered
	if errors.As(err, &u) && u.sent {
		return fmt.Errorf("no answer: %s; it may be done all the same, so look with 'lookupctl status' before you try again", u.list)
	}
	return err
}
