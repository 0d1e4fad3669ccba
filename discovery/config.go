package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Consumer is what Run needs of an *nsq.Consumer. It must have its handlers already.
type Consumer interface {
	// ConnectToNSQD blocks until it is connected or has failed, which may take as long as the
	// consumer's DialTimeout and ReadTimeout.
	ConnectToNSQD(address string) error
	// DisconnectFromNSQD does not block. A connection with messages in flight ends after them.
	DisconnectFromNSQD(address string) error
}

// Config says where to look, and for what. A zero duration means the default.
type Config struct {
	// Addresses are the HTTP addresses of the replicas, or of stock nsqlookupds, as http://host:4161
	// or host:4161. With one address behind which there are several replicas, that one is enough.
	Addresses []string
	// Topic is the consumer's topic.
	Topic string

	// AlreadyConnected is nsq.ErrAlreadyConnected. Without it, each connection that is there is taken
	// for one that could not be made: one line in the log, and nothing worse.
	AlreadyConnected error
	// Token, unless it is "", is sent as a Bearer token.
	Token string
	// Client makes the requests: for TLS, or a proxy. It must have no Timeout, which would end streams.
	Client *http.Client
	Logger *slog.Logger // nil: no logging

	// Linger is how long a producer must be missing before the consumer is disconnected from it: 60 s,
	// four times the interval at which an nsqd that has lost its lookupd registers again.
	Linger time.Duration
	// Silence is how long a stream may bring nothing before another replica is asked: 30 s, three
	// heartbeats.
	Silence time.Duration
	// PollInterval is how often those are asked that cannot be followed, as stock nsqlookupds: 15 s, more
	// or less by a tenth, so that consumers do not ask all at once.
	PollInterval time.Duration
}

// requestTimeout bounds the wait for an answer's header, and a whole answer to /lookup.
const requestTimeout = 5 * time.Second

// Discovery finds the producers of a topic. Make one with New.
type Discovery struct {
	cfg       Config
	addresses []string // base URLs
	log       *slog.Logger
}

// New checks the configuration, and names all that is wrong with it. It starts nothing.
func New(cfg Config) (*Discovery, error) {
	var errs []error
	d := &Discovery{cfg: cfg, log: cfg.Logger}
	if len(cfg.Addresses) == 0 {
		errs = append(errs, errors.New("no address"))
	}
	for _, address := range cfg.Addresses {
		base, err := baseURL(address)
		if err != nil {
			errs = append(errs, err)
		}
		if !slices.Contains(d.addresses, base) {
			d.addresses = append(d.addresses, base)
		}
	}
	if cfg.Topic == "" {
		errs = append(errs, errors.New("no topic"))
	}
	if cfg.Linger < 0 || cfg.Silence < 0 || cfg.PollInterval < 0 {
		errs = append(errs, errors.New("a duration is negative"))
	}
	if cfg.Client != nil && cfg.Client.Timeout > 0 {
		errs = append(errs, errors.New("the client's Timeout would end streams"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("discovery: %w", errors.Join(errs...))
	}
	d.cfg.Linger = cmp.Or(cfg.Linger, 60*time.Second)
	d.cfg.Silence = cmp.Or(cfg.Silence, 30*time.Second)
	d.cfg.PollInterval = cmp.Or(cfg.PollInterval, 15*time.Second)
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.log = d.log.With("topic", cfg.Topic)
	return d, nil
}

func baseURL(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("address %q is not like http://host:4161", address)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// Run looks for producers and connects the consumer to them until ctx ends, and returns why that did.
// It may be called for several consumers. What is connected then stays connected: stop the consumer
// for that. Run returns when no ConnectToNSQD is under way any more, which blocks as that does.
func (d *Discovery) Run(ctx context.Context, consumer Consumer) error {
	views := make(chan view)
	done := make(chan struct{})
	go func() {
		defer close(done)
		newSource(d, views).run(ctx)
	}()
	newKeeper(d, consumer).run(ctx, views)
	<-done
	return context.Cause(ctx)
}
