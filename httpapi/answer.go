package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/raftlookupd/raftlookupd/fsm"
)

// form says which headers an answer carries (nsqio/nsq, internal/http_api/api_response.go).
type form uint8

const (
	formPlain form = iota // none; net/http finds the content type
	formEmpty             // X-NSQ-Content-Type: a change that was made
	formJSON              // X-NSQ-Content-Type and Content-Type
	formSent              // the handler has written the answer itself
)

// answer is what a handler returns. The body is not modified and may be shared.
type answer struct {
	code  int
	form  form
	body  []byte
	fresh freshHeader // for reads
}

// Header values, shared by all answers so that none allocates its own.
var (
	jsonContentType = []string{"application/json; charset=utf-8"}
	nsqContentType  = []string{"nsq; version=1.0"}
)

// The answers that are always the same; codes and messages are nsqlookupd's, but for the last two.
var (
	answerOK   = answer{code: http.StatusOK, form: formPlain, body: []byte("OK")}
	answerDone = answer{code: http.StatusOK, form: formEmpty}

	answerInvalidRequest   = message(http.StatusBadRequest, "INVALID_REQUEST")
	answerMissingTopic     = message(http.StatusBadRequest, "MISSING_ARG_TOPIC")
	answerInvalidTopic     = message(http.StatusBadRequest, "INVALID_ARG_TOPIC")
	answerMissingChannel   = message(http.StatusBadRequest, "MISSING_ARG_CHANNEL")
	answerInvalidChannel   = message(http.StatusBadRequest, "INVALID_ARG_CHANNEL")
	answerMissingNode      = message(http.StatusBadRequest, "MISSING_ARG_NODE")
	answerNotFound         = message(http.StatusNotFound, "NOT_FOUND")
	answerTopicNotFound    = message(http.StatusNotFound, "TOPIC_NOT_FOUND")
	answerChannelNotFound  = message(http.StatusNotFound, "CHANNEL_NOT_FOUND")
	answerMethodNotAllowed = message(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	answerInternalError    = message(http.StatusInternalServerError, "INTERNAL_ERROR")

	answerInvalidIndex = message(http.StatusBadRequest, "INVALID_ARG_INDEX")
	answerIndexTooOld  = message(http.StatusGone, "INDEX_TOO_OLD")
)

func message(code int, text string) answer {
	body := encodeKnown(struct {
		Message string `json:"message"`
	}{text})
	return answer{code: code, form: formJSON, body: body}
}

// encodeKnown encodes values of texts and numbers, which always encode.
func encodeKnown(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// encode is for values whose types this package does not know, or that are large.
func (s *Server) encode(w http.ResponseWriter, v any) answer {
	b, err := json.Marshal(v)
	s.renewWrite(w)
	if err != nil {
		s.log.Error("HTTP: cannot encode an answer", "error", err)
		return answerInternalError
	}
	return answer{code: http.StatusOK, form: formJSON, body: b}
}

// messenger is an error that the client may read: it is answered 503.
type messenger interface{ Message() string }

// failure is the answer to a request that the replica refused.
func (s *Server) failure(r *http.Request, err error) answer {
	var m messenger
	if r.Context().Err() != nil && !errors.As(err, &m) {
		// The client left or Close cut it off: nobody reads this, and it is no fault of ours.
		return message(http.StatusServiceUnavailable, "REQUEST_CANCELED")
	}
	return s.failed(err, "method", r.Method, "path", r.URL.Path)
}

// failed is the answer to an error; it is logged with these attributes if nobody expects it.
func (s *Server) failed(err error, attributes ...any) answer {
	var m messenger
	switch {
	case errors.Is(err, fsm.ErrChannelNotFound):
		return answerChannelNotFound
	case errors.Is(err, fsm.ErrIndexTooOld):
		return answerIndexTooOld
	case errors.As(err, &m):
		return message(http.StatusServiceUnavailable, m.Message())
	}
	s.log.Error("HTTP: request failed", append(attributes, "error", err)...)
	return answerInternalError
}

func (a answer) write(w http.ResponseWriter) {
	if a.form == formSent {
		return
	}
	h := w.Header()
	a.fresh.write(h)
	switch a.form {
	case formJSON:
		h["Content-Type"] = jsonContentType
		h["X-Nsq-Content-Type"] = nsqContentType
	case formEmpty:
		h["X-Nsq-Content-Type"] = nsqContentType
	}
	w.WriteHeader(a.code)
	// An error means that the client has left; net/http knows and closes the connection.
	_, _ = w.Write(a.body)
}

// handle makes a router's handle that logs and writes what h answers. The log line comes before
// the answer, as in nsqlookupd, so whoever has the answer finds the line.
func (s *Server) handle(h handlerFunc) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		if !s.log.Enabled(r.Context(), slog.LevelInfo) {
			h(s, w, r).write(w)
			return
		}
		start := time.Now()
		a := h(s, w, r)
		elapsed := time.Since(start)
		s.log.Info(fmt.Sprintf("%d %s %s (%s) %s",
			a.code, r.Method, r.URL.RequestURI(), r.RemoteAddr, elapsed))
		a.write(w)
	}
}
