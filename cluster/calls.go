package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Replicas ask each other small questions by HTTP over the cluster port.
const (
	standingPath = "/standing"
	callTimeout  = 500 * time.Millisecond
	maxAnswer    = 64 << 10
)

// standing is what one replica tells another of its part in Raft.
type standing struct {
	ID            string `json:"id"`
	Cluster       string `json:"cluster"`
	HasState      bool   `json:"has_state"` // it has been part of a cluster
	LastIndex     uint64 `json:"last_index"`
	LastTerm      uint64 `json:"last_term"`
	AppliedIndex  uint64 `json:"applied_index"`
	LastContactMS int64  `json:"last_contact_ms"` // as in Status
	Leader        bool   `json:"leader"`
}

// callServer answers the questions of other replicas.
type callServer struct {
	*sublistener
	http *http.Server
}

func newCallServer(p *port, h http.Handler, log *slog.Logger) *callServer {
	return &callServer{
		sublistener: p.listen(kindCall, p.listener.Addr()),
		http: &http.Server{Handler: h, ReadHeaderTimeout: greetingTimeout, IdleTimeout: time.Minute,
			MaxHeaderBytes: 16 << 10, ReadTimeout: 2 * orderWait, WriteTimeout: 2 * orderWait,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
	}
}

// caller asks other replicas.
type caller struct {
	http    *http.Client // for questions, which are answered at once
	patient *http.Client // for orders; their context bounds them
}

func newCaller(p *port) caller {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
			id, _, err := net.SplitHostPort(host)
			if err != nil {
				return nil, err
			}
			return p.reach(ctx, kindCall, id)
		},
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
	}
	return caller{
		http:    &http.Client{Timeout: callTimeout, Transport: transport},
		patient: &http.Client{Transport: transport},
	}
}

// standing asks the replica of that id.
func (c caller) standing(ctx context.Context, id string) (standing, error) {
	var s standing
	body, err := c.get(ctx, id, standingPath)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("read the standing of replica %.8s…: %w", id, err)
	}
	return s, nil
}

// number asks the replica of that id for a number.
func (c caller) number(ctx context.Context, id, path string) (uint64, error) {
	body, err := c.get(ctx, id, path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(body), 10, 64)
}

func (c caller) get(ctx context.Context, id, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+id+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask replica %.8s…: %w", id, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of replica %.8s…: %w", id, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask replica %.8s…: %s", id, resp.Status)
	}
	return body, nil
}

func (c caller) close() { c.http.CloseIdleConnections() }

// calls is what this replica answers.
func (r *Replica) calls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+standingPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(r.standing())
	})
	mux.HandleFunc("POST "+ordersPath, r.takeOrder)
	mux.HandleFunc("GET "+reachPath, r.answerReach)
	r.answerNumbers(mux)
	return mux
}

func (r *Replica) standing() standing {
	return standing{
		ID: r.data.ID, Cluster: r.whoami().cluster, HasState: r.hasState(),
		LastIndex: r.raft.LastIndex(), LastTerm: r.lastTerm(), AppliedIndex: r.appliedIndex(),
		LastContactMS: r.lastContact(), Leader: r.leads(),
	}
}

// hasState reports whether this replica has been part of a cluster.
func (r *Replica) hasState() bool { return r.raft.LastIndex() > 0 || r.whoami().cluster != "" }

// lastTerm is the term of the log's last entry.
func (r *Replica) lastTerm() uint64 {
	term, _ := strconv.ParseUint(r.raft.Stats()["last_log_term"], 10, 64)
	return term
}
