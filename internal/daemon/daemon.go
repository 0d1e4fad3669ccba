package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftlookupd/raftlookupd/cluster"
	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/httpapi"
	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/version"
	"github.com/raftlookupd/raftlookupd/tcpproto"
)

// httpDrain is how long HTTP requests may go on when the daemon stops.
const httpDrain = 2 * time.Second

// Daemon is one raftlookupd.
type Daemon struct {
	cfg       config.Config
	log       *slog.Logger
	addresses atomic.Pointer[cluster.Addresses]

	replica *cluster.Replica
	tcp     *tcpproto.Server
	http    *httpapi.Server
}

// New makes a daemon of a valid configuration. It does nothing yet.
func New(cfg config.Config, log *slog.Logger) *Daemon {
	d := &Daemon{cfg: cfg, log: log}
	d.addresses.Store(&cluster.Addresses{})
	return d
}

// Addresses are where the daemon listens, "" before it does.
func (d *Daemon) Addresses() cluster.Addresses { return *d.addresses.Load() }

// Run starts the daemon and blocks until the context ends, which is a clean stop and gives nil, or
// until it cannot go on. It may be called once.
func (d *Daemon) Run(ctx context.Context) (err error) {
	d.log.Info(version.String("raftlookupd"))
	d.replica, err = cluster.Open(d.clusterConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.replica.Close()) }()
	tcp, http, err := d.listen()
	if err != nil {
		return err
	}
	if err := d.build(tcp.Addr(), http.Addr()); err != nil {
		return errors.Join(err, tcp.Close(), http.Close())
	}
	return d.serve(ctx, tcp, http)
}

func (d *Daemon) clusterConfig() cluster.Config {
	return cluster.Config{
		Name:              d.cfg.Name,
		NameGiven:         d.cfg.NameGiven,
		DataPath:          d.cfg.DataPath,
		Version:           version.Binary,
		RegisterWindow:    d.cfg.RegisterWindow,
		CommitTimeout:     d.cfg.CommitTimeout,
		ReplicaGrace:      d.cfg.ReplicaGrace,
		IsolationTimeout:  d.cfg.IsolationTimeout,
		RaftTimeout:       d.cfg.RaftTimeout,
		InactiveTimeout:   d.cfg.InactiveProducerTimeout,
		TombstoneLifetime: d.cfg.TombstoneLifetime,
		Logger:            d.log,
	}
}

// listen makes all listeners; later ones of the cluster and of HTTPS are made here too.
func (d *Daemon) listen() (tcp, http net.Listener, err error) {
	tcp, err = net.Listen("tcp", d.cfg.TCPAddress)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for nsqd on -tcp-address %s: %w", d.cfg.TCPAddress, err)
	}
	http, err = net.Listen("tcp", d.cfg.HTTPAddress)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for HTTP on -http-address %s: %w", d.cfg.HTTPAddress, err), tcp.Close())
	}
	return tcp, http, nil
}

func (d *Daemon) build(tcp, http net.Addr) error {
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the hostname: %w", err)
	}
	d.addresses.Store(&cluster.Addresses{TCP: d.advertise(tcp), HTTP: d.advertise(http)})
	d.tcp = tcpproto.New(tcpproto.Config{
		Open: func(info fsm.ProducerInfo, evict func()) (tcpproto.Session, error) {
			s, err := d.replica.OpenSession(info, evict)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Admit: d.replica.Admits,
		Greeting: tcpproto.Greeting{
			BroadcastAddress: d.cfg.BroadcastAddress,
			Hostname:         hostname,
			TCPPort:          port(tcp),
			HTTPPort:         port(http),
			Version:          version.Binary,
		},
		Logger: d.log,
	})
	api := d.replicaAPI()
	d.http = httpapi.New(httpapi.Config{
		Replica: api,
		Times:   d.replica,
		Info:    httpapi.Info{Version: version.Binary, Name: d.replica.Name(), ID: d.replica.ID()},
		Logger:  d.log,
	})
	return nil
}

// advertise is how others reach a listener: the broadcast address and the listener's port.
func (d *Daemon) advertise(a net.Addr) string {
	return net.JoinHostPort(d.cfg.BroadcastAddress, strconv.Itoa(port(a)))
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

// replicaAPI is the replica as httpapi wants it.
func (d *Daemon) replicaAPI() httpapi.Replica { return replicaAPI{d.replica, d} }

type replicaAPI struct {
	*cluster.Replica
	d *Daemon
}

// Status implements httpapi.Replica.
func (r replicaAPI) Status() any { return r.Replica.Status(r.d.Addresses()) }

// serve runs the servers until the context ends or something fails, and stops them: the nsqds'
// connections first, so that nothing comes in any more.
func (d *Daemon) serve(ctx context.Context, tcp, http net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.tcp.Serve(tcp) })
	g.Go(func() error { return d.http.Serve(http) })
	g.Go(func() error {
		select {
		case err := <-d.replica.Failed():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		<-ctx.Done()
		d.log.Info("stopping")
		drain, cancel := context.WithTimeout(context.Background(), httpDrain)
		defer cancel()
		return errors.Join(d.tcp.Close(), d.http.Close(drain))
	})
	return g.Wait()
}
