package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// Admin is what the HTTP API needs to change the cluster. The methods may block for seconds.
//
// An error with a method Answer() (code int, message, reason string), found by errors.As, is
// answered so; others as Replica's.
type Admin interface {
	// Join makes this replica look for its cluster at a gossip address; member: it is in already.
	Join(ctx context.Context, address string) (member bool, err error)
	// Leave takes this replica out of its cluster.
	Leave(ctx context.Context, force bool) error
	// Remove takes the dead replica of that name, or of that id, out and returns its id.
	Remove(ctx context.Context, name, id string, force bool) (removed string, err error)
	// Transfer moves leadership to the replica of that name, "" for any, and returns who has it.
	Transfer(ctx context.Context, name string) (leader string, err error)
}

// reasoned is an error that says what the client is to be answered.
type reasoned interface {
	Answer() (code int, message, reason string)
}

func adminEntries() []entry {
	post := func(path, doc string, h handlerFunc) entry {
		return entry{Route: Route{http.MethodPost, path, Administers, doc}, answer: h}
	}
	return []entry{
		post("/cluster/join", "Makes this replica join the cluster that the gossip `address` (host[:port]) belongs to; /cluster/status shows how far that is. 409 when it has data of its own.", (*Server).join),
		post("/cluster/leave", "Takes this replica out of its cluster; it is blank then. 409 when the others would have no majority; `force` takes the dead ones out first.", (*Server).leave),
		post("/cluster/remove", "Takes the dead replica `name`, or `id`, out of the cluster. 409 when it is alive, or when the others would have no majority; `force` takes the other dead ones out first.", (*Server).remove),
		post("/cluster/transfer", "Moves leadership to the replica `name`, or to the one that is furthest.", (*Server).transfer),
	}
}

var (
	answerMissingAddress = message(http.StatusBadRequest, "MISSING_ARG_ADDRESS")
	answerMissingName    = message(http.StatusBadRequest, "MISSING_ARG_NAME")
	answerInvalidForce   = message(http.StatusBadRequest, "INVALID_ARG_FORCE")
)

func (s *Server) join(w http.ResponseWriter, r *http.Request) answer {
	q, ok := params(r)
	if !ok {
		return answerInvalidRequest
	}
	address, _ := q.get("address")
	if address == "" {
		return answerMissingAddress
	}
	member, err := s.cfg.Admin.Join(r.Context(), address)
	word := "JOINING"
	if member {
		word = "MEMBER"
	}
	return s.administered(w, r, err, map[string]string{"message": word})
}

func (s *Server) leave(w http.ResponseWriter, r *http.Request) answer {
	q, ok := params(r)
	if !ok {
		return answerInvalidRequest
	}
	force, ok := q.force()
	if !ok {
		return answerInvalidForce
	}
	err := s.cfg.Admin.Leave(r.Context(), force)
	return s.administered(w, r, err, map[string]string{"message": "LEFT"})
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) answer {
	q, ok := params(r)
	if !ok {
		return answerInvalidRequest
	}
	name, _ := q.get("name")
	id, _ := q.get("id")
	force, ok := q.force()
	switch {
	case !ok:
		return answerInvalidForce
	case name == "" && id == "":
		return answerMissingName
	}
	removed, err := s.cfg.Admin.Remove(r.Context(), name, id, force)
	return s.administered(w, r, err, map[string]string{"message": "REMOVED", "id": removed})
}

func (s *Server) transfer(w http.ResponseWriter, r *http.Request) answer {
	q, ok := params(r)
	if !ok {
		return answerInvalidRequest
	}
	name, _ := q.get("name")
	leader, err := s.cfg.Admin.Transfer(r.Context(), name)
	return s.administered(w, r, err, map[string]string{"message": "TRANSFERRED", "leader": leader})
}

// force is the parameter of that name; not ok when it is neither true nor false.
func (q query) force() (force, ok bool) {
	text, given := q.get("force")
	if !given {
		return false, true
	}
	force, err := strconv.ParseBool(text)
	return force, err == nil
}

// administered answers a request that changes the cluster.
func (s *Server) administered(w http.ResponseWriter, r *http.Request, err error, done any) answer {
	s.renewWrite(w)
	var refused reasoned
	switch {
	case err == nil:
		return s.encode(w, done)
	case errors.As(err, &refused):
		code, word, reason := refused.Answer()
		return answer{code: code, form: formJSON, body: encodeKnown(struct {
			Message string `json:"message"`
			Reason  string `json:"reason"`
		}{word, reason})}
	}
	return s.failure(r, err)
}
