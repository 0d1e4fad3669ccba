package httpapi

import "net/http"

func (s *Server) ping(http.ResponseWriter, *http.Request) answer { return answerOK }

func (s *Server) showInfo(http.ResponseWriter, *http.Request) answer {
	return answer{code: http.StatusOK, form: formJSON, body: s.info}
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request) answer {
	q, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	return s.read(w, r, q, subject{routeLookup, topic})
}

func (s *Server) channels(w http.ResponseWriter, r *http.Request) answer {
	q, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	return s.read(w, r, q, subject{routeChannels, topic})
}

func (s *Server) topics(w http.ResponseWriter, r *http.Request) answer {
	return s.read(w, r, optional(r), subject{route: routeTopics})
}

func (s *Server) nodes(w http.ResponseWriter, r *http.Request) answer {
	return s.read(w, r, optional(r), subject{route: routeNodes})
}

// optional is the query of the routes that need none: nsqlookupd looks at neither their query nor
// their body, so one that is malformed counts as none.
func optional(r *http.Request) query {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}
	}
	return q
}
