package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/logging"
)

// Survivor is what the data path of a replica that is not running holds.
type Survivor struct {
	Name, ID, Cluster string
	LastIndex         uint64 // of its log
	LastTerm          uint64
	Registry          RegistryStatus // with all of its log applied
	Servers           []Server       // of the newest configuration in its log, by name
}

// Server is one of a cluster's replicas, as Raft's configuration has it.
type Server struct {
	Name  string // "" when it has not become known
	ID    string
	Votes bool
}

// Recover makes the replica of a data path, which must not be running, the only one of a new cluster,
// with the registry that it has, and returns what that was made of. The cluster gets a new id, so
// that none of the other replicas can come back with what it holds. Entries that were not committed
// become so; what this replica had not heard of is lost. With dry nothing is changed. It is for when
// the majority of the voters is lost for good.
func Recover(dir string, dry bool, log *slog.Logger) (*Survivor, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, dataError(dir, "holds no replica: give the -data-path of one that survived")
	}
	data, err := openDataPathAsItIs(dir, "", false)
	if err != nil {
		return nil, err
	}
	defer data.close()
	if data.is.Reset {
		return nil, dataError(dir, "belongs to a replica that has left its cluster, or was about to join another, and is blank after its "+
			"next start: to recover what it held before, take \"reset\" out of %s first", identityFile)
	}
	stores, err := openStores(data, logging.HCLog(log, "raft"))
	if err != nil {
		return nil, err
	}
	s, err := data.survivor(stores)
	if err == nil && !dry {
		err = data.recover(stores, log)
	}
	return s, errors.Join(err, stores.bolt.Close())
}

// survivor reads the whole log.
func (d *dataPath) survivor(stores *stores) (*Survivor, error) {
	if d.is.Cluster == "" || !d.is.Bootstrapped && stores.found.empty() {
		return nil, dataError(d.dir, "belongs to a replica that was never part of a cluster: there is nothing to recover")
	}
	r := replay{registry: fsm.New()}
	if err := r.read(stores); err != nil {
		return nil, d.damaged("the log or the newest snapshot", err)
	}
	s := &Survivor{Name: d.Name, ID: d.ID, Cluster: d.is.Cluster, LastIndex: r.index, LastTerm: r.term,
		Registry: registryStatus(r.registry.State())}
	for _, server := range r.configuration.Servers {
		known, _ := r.registry.State().Replica(string(server.ID))
		s.Servers = append(s.Servers, Server{Name: known.Name, ID: string(server.ID), Votes: server.Suffrage == raft.Voter})
	}
	slices.SortFunc(s.Servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// replay is what comes of a log without Raft.
type replay struct {
	registry      *fsm.Registry
	configuration raft.Configuration
	index, term   uint64 // of the last entry
}

func (r *replay) read(stores *stores) error {
	list, err := stores.snapshots.List()
	if err != nil {
		return err
	}
	if len(list) > 0 { // the newest comes first
		meta, source, err := stores.snapshots.Open(list[0].ID)
		if err != nil {
			return err
		}
		if err := errors.Join(r.registry.Restore(source), source.Close()); err != nil {
			return err
		}
		r.configuration, r.index, r.term = meta.Configuration, meta.Index, meta.Term
	}
	last, err := stores.log.LastIndex()
	if err != nil {
		return err
	}
	for i := max(r.index, stores.found.obsolete()) + 1; i <= last; i++ {
		var entry raft.Log
		if err := stores.log.GetLog(i, &entry); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := r.apply(&entry); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func (r *replay) apply(entry *raft.Log) (err error) {
	r.index, r.term = entry.Index, entry.Term
	switch entry.Type {
	case raft.LogCommand:
		_, err = r.registry.Apply(entry.Index, entry.Data)
	case raft.LogConfiguration:
		r.configuration = raft.DecodeConfiguration(entry.Data)
	}
	return err
}

// recover writes the new cluster. Its id comes first: from then on no replica of the old one can
// reach this, and after a crash recover can be run again.
func (d *dataPath) recover(stores *stores, log *slog.Logger) error {
	err := d.update(func(me *identity) { me.Cluster, me.Peers, me.Forming = randomID(), nil, false })
	if err != nil {
		return err
	}
	if _, err := stores.closeGap(); err != nil {
		return dataError(d.dir, "cannot be put in order: %w: %s", err, checkDisk)
	}
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.NoLegacyTelemetry, cfg.Logger = raft.ServerID(d.ID), true, logging.HCLog(log, "raft")
	var failure error
	m := &machine{registry: fsm.New(), applied: func(*fsm.Outcome) {}, restored: func() {}, begun: func() {},
		failed: func(err error) { failure = err }}
	_, transport := raft.NewInmemTransport("")
	err = raft.RecoverCluster(cfg, m, stores.log, stores.stable, stores.snapshots, transport, raft.Configuration{
		Servers: []raft.Server{{ID: raft.ServerID(d.ID), Address: raft.ServerAddress(d.ID)}},
	})
	if err := errors.Join(failure, err); err != nil {
		return dataError(d.dir, "cannot be recovered: %w: %s", err, checkDisk)
	}
	return nil
}
