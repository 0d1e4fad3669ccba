package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// An order is something that the leader is asked to do to the cluster. Whoever is asked hands it on
// to whoever leads.
type order struct {
	Verb    string `json:"verb"`
	ID      string `json:"id"`      // of the replica that it is about
	Name    string `json:"name"`    // of that one, when the id is not known; without either the leader chooses
	From    string `json:"from"`    // whom leadership is moved from; when another leads, that has happened
	Leaving bool   `json:"leaving"` // it asks for itself
	Force   bool   `json:"force"`
}

const (
	verbRemove   = "remove"
	verbTransfer = "transfer"

	ordersPath = "/orders"
	orderWait  = 5 * time.Second // for the whole of it, elections on the way included
	orderRetry = 50 * time.Millisecond
	maxOrder   = 4 << 10
)

// verdict is what became of an order, on the wire.
type verdict struct {
	Kind   string `json:"kind"` // "" when it is done, else one of the kinds below
	Reason string `json:"reason"`
	ID     string `json:"id"` // of the replica that it was about
}

const (
	kindRefused   = "refused"
	kindNoReplica = "no such replica"
	kindFailed    = "failed" // it may be done or not: ask again
)

// errAskAgain means that the replica that was asked could not say what became of the order.
var errAskAgain = errors.New("the order was not carried out")

func verdictOf(id string, err error) verdict {
	var refusal *Refusal
	switch {
	case err == nil:
		return verdict{ID: id}
	case errors.As(err, &refusal) && errors.Is(err, ErrNoSuchReplica):
		return verdict{Kind: kindNoReplica, Reason: refusal.Reason}
	case errors.As(err, &refusal):
		return verdict{Kind: kindRefused, Reason: refusal.Reason}
	}
	return verdict{Kind: kindFailed, Reason: err.Error()}
}

func (v verdict) result() (id string, err error) {
	switch v.Kind {
	case "":
		return v.ID, nil
	case kindRefused:
		return "", &Refusal{ErrRefused, v.Reason}
	case kindNoReplica:
		return "", &Refusal{ErrNoSuchReplica, v.Reason}
	}
	return "", fmt.Errorf("%w: %s", errAskAgain, v.Reason)
}

// atLeader has the order carried out by whoever leads, and asks again until it knows what became
// of it, for as long as orderWait. What was done already is not done twice. It returns the id of
// the replica that the order was about.
func (r *Replica) atLeader(ctx context.Context, o order) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	for {
		id, err := r.tryAtLeader(ctx, o)
		var refusal *Refusal
		if err == nil || errors.As(err, &refusal) {
			return id, err
		}
		r.log.Debug("an order is not carried out yet", "verb", o.Verb, "error", err)
		if !pause(ctx, orderRetry) {
			if r.leader() == "" {
				return "", ErrNoLeader
			}
			return "", fmt.Errorf("%w: %w", ErrNotCommitted, err)
		}
	}
}

func (r *Replica) tryAtLeader(ctx context.Context, o order) (id string, err error) {
	switch leader := r.leader(); leader {
	case "":
		return "", ErrNoLeader
	case r.data.ID:
		return r.carryOut(ctx, o)
	default:
		return r.caller.order(ctx, leader, o)
	}
}

// carryOut does what is asked for, as the leader.
func (r *Replica) carryOut(ctx context.Context, o order) (id string, err error) {
	if !r.leads() {
		return "", raft.ErrNotLeader
	}
	if o.ID == "" && o.Name != "" {
		if o.ID, err = r.named(o.Name); err != nil {
			return "", err
		}
	}
	switch o.Verb {
	case verbRemove:
		return o.ID, r.remove(ctx, o)
	case verbTransfer:
		if o.ID == "" && o.From != "" && o.From != r.data.ID {
			return r.data.ID, nil // it has moved
		}
		return r.transfer(ctx, o.ID)
	}
	return "", refuse(ErrRefused, "the leader, %s, does not know the order %q: is it of an older version?", r.data.Name, o.Verb)
}

// named is the id of the server of that name.
func (r *Replica) named(name string) (string, error) {
	var found []string
	for id := range r.servers() {
		if r.nameOf(id) == name {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", refuse(ErrNoSuchReplica, "no replica of this cluster is called %s: lookupctl members lists them", name)
	}
	return "", refuse(ErrRefused, "%d replicas have the name %s (ids %s): say which by its id", len(found), name, strings.Join(found, ", "))
}

// order asks the replica of that id to carry it out.
func (c caller) order(ctx context.Context, id string, o order) (about string, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+id+ordersPath, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := c.patient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the leader: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask the leader: %s", resp.Status)
	}
	var v verdict
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return "", fmt.Errorf("read the leader's answer: %w", err)
	}
	return v.result()
}

// takeOrder answers an order that another replica has sent.
func (r *Replica) takeOrder(w http.ResponseWriter, req *http.Request) {
	var o order
	if err := json.NewDecoder(io.LimitReader(req.Body, maxOrder)).Decode(&o); err != nil {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), orderWait)
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(verdictOf(r.carryOut(ctx, o)))
}
