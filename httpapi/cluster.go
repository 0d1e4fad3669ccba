package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

func (s *Server) live(http.ResponseWriter, *http.Request) answer { return answerOK }

func (s *Server) ready(_ http.ResponseWriter, r *http.Request) answer {
	ok, reason := s.cfg.Replica.Ready()
	if _, verbose := optional(r).get("verbose"); verbose {
		return s.readyInWords(ok, reason)
	}
	if !ok {
		return message(http.StatusServiceUnavailable, reason)
	}
	return answerOK
}

// readyInWords says what makes a replica ready, a line each, for people.
func (s *Server) readyInWords(ok bool, reason string) answer {
	applied, cluster, leader, contact := s.cfg.Fresh.Position()
	code := http.StatusOK
	if ok {
		reason = "yes"
	} else {
		code, reason = http.StatusServiceUnavailable, "no: "+reason
	}
	caughtUp := "never"
	if contact >= 0 {
		caughtUp = contact.Round(time.Millisecond).String() + " ago"
	}
	return answer{code: code, form: formPlain, body: fmt.Appendf(nil,
		"ready: %s\ncluster: %s\nleader: %s\ncaught up with the leader: %s\napplied index: %d\n",
		reason, cmp.Or(cluster, "none"), cmp.Or(leader, "none is known"), caughtUp, applied)}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) answer {
	return s.encode(w, s.cfg.Replica.Status())
}

func (s *Server) fingerprint(w http.ResponseWriter, r *http.Request) answer {
	q, ok := params(r)
	if !ok {
		return answerInvalidRequest
	}
	var index uint64
	if text, ok := q.get("index"); ok {
		var err error
		if index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return answerInvalidIndex
		}
	}
	at, fp, err := s.cfg.Replica.Fingerprint(r.Context(), index)
	if err != nil {
		return s.failure(r, err)
	}
	return s.encode(w, struct {
		Index       uint64 `json:"index"`
		Fingerprint string `json:"fingerprint"`
	}{at, fp.String()})
}
