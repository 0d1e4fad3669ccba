package httpapi

import "net/http"

func (s *Server) ping(http.ResponseWriter, *http.Request) answer { return answerOK }

func (s *Server) showInfo(http.ResponseWriter, *http.Request) answer {
	return answer{http.StatusOK, formJSON, s.info}
}

func (s *Server) lookup(_ http.ResponseWriter, r *http.Request) answer {
	_, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	state, err := s.cfg.Replica.Read(r.Context())
	if err != nil {
		return s.failure(r, err)
	}
	body, ok := state.Lookup(topic)
	if !ok {
		return answerTopicNotFound
	}
	return answer{http.StatusOK, formJSON, body}
}

func (s *Server) channels(_ http.ResponseWriter, r *http.Request) answer {
	_, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	state, err := s.cfg.Replica.Read(r.Context())
	if err != nil {
		return s.failure(r, err)
	}
	return answer{http.StatusOK, formJSON, state.Channels(topic)}
}

// topics, like nodes, looks at neither query nor body, as in nsqlookupd.
func (s *Server) topics(_ http.ResponseWriter, r *http.Request) answer {
	state, err := s.cfg.Replica.Read(r.Context())
	if err != nil {
		return s.failure(r, err)
	}
	return answer{http.StatusOK, formJSON, state.Topics()}
}

func (s *Server) nodes(_ http.ResponseWriter, r *http.Request) answer {
	state, err := s.cfg.Replica.Read(r.Context())
	if err != nil {
		return s.failure(r, err)
	}
	return answer{http.StatusOK, formJSON, state.Nodes()}
}
