package daemon

import (
	"context"
	"errors"
	"net/http"

	"github.com/raftlookupd/raftlookupd/cluster"
)

// replicaAPI is the replica as httpapi wants it.
type replicaAPI struct{ *cluster.Replica }

// Status implements httpapi.Replica.
func (r replicaAPI) Status() any { return r.Replica.Status() }

// adminAPI is the replica as httpapi wants it to change the cluster.
type adminAPI struct{ *cluster.Replica }

// Join implements httpapi.Admin.
func (a adminAPI) Join(ctx context.Context, address string) (bool, error) {
	member, err := a.Replica.Join(ctx, address)
	return member, asRefusal("JOIN", err)
}

// Leave implements httpapi.Admin.
func (a adminAPI) Leave(ctx context.Context, force bool) error {
	return asRefusal("LEAVE", a.Replica.Leave(ctx, force))
}

// Remove implements httpapi.Admin.
func (a adminAPI) Remove(ctx context.Context, name, id string, force bool) (string, error) {
	removed, err := a.Replica.Remove(ctx, name, id, force)
	return removed, asRefusal("REMOVE", err)
}

// Transfer implements httpapi.Admin.
func (a adminAPI) Transfer(ctx context.Context, name string) (string, error) {
	leader, err := a.Replica.Transfer(ctx, name)
	return leader, asRefusal("TRANSFER", err)
}

// refusal is a cluster.Refusal as HTTP answers it.
type refusal struct {
	*cluster.Refusal
	verb string
}

func asRefusal(verb string, err error) error {
	if r := new(cluster.Refusal); errors.As(err, &r) {
		return refusal{r, verb}
	}
	return err
}

// Answer is what httpapi looks for.
func (r refusal) Answer() (code int, message, reason string) {
	switch {
	case errors.Is(r.Refusal, cluster.ErrNoSuchReplica):
		return http.StatusNotFound, "NO_SUCH_REPLICA", r.Reason
	case errors.Is(r.Refusal, cluster.ErrNoAnswer):
		return http.StatusBadGateway, "NO_ANSWER", r.Reason
	}
	return http.StatusConflict, r.verb + "_REFUSED", r.Reason
}
