package httpapi

import (
	"net/http"
	"strconv"
)

func (s *Server) live(http.ResponseWriter, *http.Request) answer { return answerOK }

func (s *Server) ready(http.ResponseWriter, *http.Request) answer {
	if ok, reason := s.cfg.Replica.Ready(); !ok {
		return message(http.StatusServiceUnavailable, reason)
	}
	return answerOK
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
