package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftlookupd/raftlookupd/cluster"
	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/httpapi"
	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
	"github.com/raftlookupd/raftlookupd/internal/pause"
	"github.com/raftlookupd/raftlookupd/internal/version"
	"github.com/raftlookupd/raftlookupd/tcpproto"
)

// httpDrain is how long HTTP requests may go on when the daemon stops.
const httpDrain = 2 * time.Second

// stopLimit is how long a stop takes, whatever hangs.
const stopLimit = 22 * time.Second

// Daemon is one raftlookupd.
type Daemon struct {
	cfg       config.Config
	log       *slog.Logger
	addresses atomic.Pointer[cluster.Addresses]
	apart     bool // the replica has left its cluster, and waits to be told to join one
	pauses    *pause.Watch
	openLimit time.Duration

	listeners
	replica *cluster.Replica
	tcp     *tcpproto.Server
	http    *httpapi.Server
}

// listeners are made in one place, and before anything else, so that a port that is taken costs
// nothing.
type listeners struct{ tcpPort, httpPort, clusterPort net.Listener }

// New makes a daemon of a valid configuration. It does nothing yet.
func New(cfg config.Config, log *slog.Logger) *Daemon {
	d := &Daemon{cfg: cfg, log: log, openLimit: openLimit}
	d.addresses.Store(&cluster.Addresses{})
	return d
}

// Addresses are where the daemon can be reached, "" before it listens.
func (d *Daemon) Addresses() cluster.Addresses { return *d.addresses.Load() }

// Run starts the daemon and blocks until the context ends, which is a clean stop and gives nil, or
// until it cannot go on. A stop that takes longer than stopLimit is left to the process's end, and gives
// an error. It may be called once.
func (d *Daemon) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	select {
	case err := <-ended:
		return err
	case <-late.C:
		return fmt.Errorf("not stopped within %s", stopLimit)
	}
}

func (d *Daemon) run(ctx context.Context) error {
	d.log.Info(version.String("raftlookupd"))
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the hostname: %w", err)
	}
	defer d.watchPauses()()
	for {
		if err := d.once(ctx, hostname); !errors.Is(err, errAgain) {
			return err
		}
		d.apart = d.replica.Apart()
	}
}

// watchPauses begins to watch for pauses of this process. The returned function ends that.
func (d *Daemon) watchPauses() (end func()) {
	d.pauses = pause.New(func(gap time.Duration) {
		d.log.Warn("this process stood still: nsqds that hang up now are kept for the grace", "for", gap)
	})
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { _ = d.pauses.Run(ctx) })
	return func() {
		stop()
		watching.Wait()
	}
}

// errAgain ends one life of the daemon, after which it goes on with the next.
var errAgain = errors.New("starting anew")

// once is one life of the daemon: it has another when its replica leaves its cluster, or joins one.
func (d *Daemon) once(ctx context.Context, hostname string) (err error) {
	if err := d.listen(); err != nil {
		return err
	}
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.tcpPort.Close(), d.httpPort.Close())
	}
	defer func() {
		switch closing := d.replica.Close(); {
		case closing == nil:
		case err == nil || errors.Is(err, errAgain): // what it holds may not be free
			err = closing
		default: // why it ends matters more
			d.log.Warn("the replica was not closed well", "error", closing)
		}
	}()
	addresses := d.replica.Addresses()
	d.addresses.Store(&addresses)
	d.keepPorts()
	d.build(hostname)
	return d.serve(ctx)
}

func (d *Daemon) listen() error {
	for _, l := range []struct {
		to            *net.Listener
		what, address string
	}{
		{&d.tcpPort, "for nsqd on -tcp-address", d.cfg.TCPAddress},
		{&d.httpPort, "for HTTP on -http-address", d.cfg.HTTPAddress},
		{&d.clusterPort, "for replicas on -cluster-address", d.cfg.ClusterAddress},
	} {
		made, err := net.Listen("tcp", l.address)
		if err != nil {
			return errors.Join(fmt.Errorf("listen %s %s: %w", l.what, l.address, err), d.close())
		}
		*l.to = made
	}
	return nil
}

// keepPorts makes the ports that were picked those of the next life too.
func (d *Daemon) keepPorts() {
	for address, listener := range map[*string]net.Listener{
		&d.cfg.TCPAddress: d.tcpPort, &d.cfg.HTTPAddress: d.httpPort, &d.cfg.ClusterAddress: d.clusterPort,
	} {
		*address = withPort(*address, port(listener))
	}
	d.cfg.GossipAddress = withPort(d.cfg.GossipAddress, d.replica.GossipPort())
}

// withPort is the address with that port.
func withPort(address string, port int) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address // it was listened on, so this does not happen
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// close closes the listeners that were made.
func (l listeners) close() error {
	var errs []error
	for _, made := range []net.Listener{l.tcpPort, l.httpPort, l.clusterPort} {
		if made != nil {
			errs = append(errs, made.Close())
		}
	}
	return errors.Join(errs...)
}

func (d *Daemon) clusterConfig() cluster.Config {
	return cluster.Config{
		Name:      d.cfg.Name,
		NameGiven: d.cfg.NameGiven,
		DataPath:  d.cfg.DataPath,
		Version:   version.Binary,
		Network: cluster.Network{
			Listener:         d.clusterPort,
			ClusterAdvertise: d.advertised(d.cfg.ClusterAdvertiseAddress, d.cfg.ClusterAddress),
			ClientHost:       d.cfg.BroadcastAddress,
			TCPPort:          port(d.tcpPort),
			HTTPPort:         port(d.httpPort),
			Gossip: cluster.GossipConfig{
				Bind:      d.cfg.GossipAddress,
				Advertise: d.advertised(d.cfg.GossipAdvertiseAddress, d.cfg.GossipAddress),
				Given:     d.cfg.GossipAdvertiseAddress != d.cfg.BroadcastAddress,
				Join:      d.cfg.Join,
			},
		},
		BootstrapExpect:   d.cfg.BootstrapExpect,
		Reader:            d.cfg.Reader,
		Apart:             d.apart,
		RegisterWindow:    d.cfg.RegisterWindow,
		CommitTimeout:     d.cfg.CommitTimeout,
		ReplicaGrace:      d.cfg.ReplicaGrace,
		DeadAfter:         d.cfg.DeadAfter,
		IsolationTimeout:  d.cfg.IsolationTimeout,
		RaftTimeout:       d.cfg.RaftTimeout,
		InactiveTimeout:   d.cfg.InactiveProducerTimeout,
		TombstoneLifetime: d.cfg.TombstoneLifetime,
		Logger:            d.log,
		Paused:            d.pauses.Since,
	}
}

// advertised is how other replicas reach what is bound: the address that was given for it, or one
// particular address that is bound, or the broadcast address.
func (d *Daemon) advertised(given, bound string) string {
	if given != d.cfg.BroadcastAddress {
		return given
	}
	host, _, err := net.SplitHostPort(bound)
	if ip := net.ParseIP(host); err == nil && ip != nil && !ip.IsUnspecified() {
		return host
	}
	return given
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func (d *Daemon) build(hostname string) {
	d.tcp = tcpproto.New(tcpproto.Config{
		Open: func(info fsm.ProducerInfo, evict func()) (tcpproto.Session, error) {
			s, err := d.replica.OpenSession(info, evict)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Admit:  d.replica.Admits,
		Paused: d.pauses.Since,
		Greeting: tcpproto.Greeting{
			BroadcastAddress: d.cfg.BroadcastAddress,
			Hostname:         hostname,
			TCPPort:          port(d.tcpPort),
			HTTPPort:         port(d.httpPort),
			Version:          version.Binary,
		},
		Logger: d.log,
	})
	level, _ := consistency.Parse(d.cfg.ReadConsistency) // it has been validated
	d.http = httpapi.New(httpapi.Config{
		Consistency: level,
		Replica:     replicaAPI{d.replica},
		Times:       d.replica,
		Admin:       adminAPI{d.replica},
		Fresh:       d.replica,
		Backups:     backupsAPI{d.replica},
		Info:        httpapi.Info{Version: version.Binary, Name: d.replica.Name(), ID: d.replica.ID()},
		Logger:      d.log,
	})
}

// serve runs the servers until the context ends or something fails, and stops them: the nsqds'
// connections first, so that nothing comes in any more.
func (d *Daemon) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.tcp.Serve(d.tcpPort) })
	g.Go(func() error { return d.http.Serve(d.httpPort) })
	g.Go(func() error {
		select {
		case err := <-d.replica.Failed():
			return err
		case <-d.replica.Again():
			return errAgain
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
