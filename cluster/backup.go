package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/snapfile"
)

// Why a backup is not restored.
var (
	// ErrBadBackup wraps what is wrong with the file, an error of package snapfile or fsm.
	ErrBadBackup = &Error{"BAD_SNAPSHOT", "nothing was restored"}
	// ErrForeignBackup means that the file is of another cluster.
	ErrForeignBackup = &Error{"FOREIGN_SNAPSHOT", "nothing was restored: the file is of another cluster, and is taken only with force"}
	// ErrRestoring means that another restore is under way at this replica.
	ErrRestoring = &Error{"RESTORING", "nothing was restored: this replica is restoring already, try again when that is done"}
)

// Backup takes the registry as it is now here and returns the index of the log entry that made it so.
// write writes it as a file of package snapfile, whenever and as often as it is called; it waits for
// nobody but its writer. Backup itself waits as Read does, and returns ErrNotReady as Read does.
func (r *Replica) Backup(ctx context.Context) (index uint64, write func(io.Writer) error, err error) {
	state, err := r.Read(ctx)
	if err != nil {
		return 0, nil, err
	}
	counts := state.Counts()
	h := snapfile.Header{
		ClusterID: r.whoami().cluster, Index: state.Index(), Fingerprint: state.Fingerprint().String(),
		TakenAt: time.Now(), TakenBy: r.data.Name, Version: r.cfg.Version,
		Topics: counts.Topics, Channels: counts.Channels, Producers: counts.Producers, Sessions: counts.Sessions,
	}
	return state.Index(), func(w io.Writer) error { return writeBackup(w, h, state) }, nil
}

func writeBackup(w io.Writer, h snapfile.Header, state *fsm.State) error {
	file, err := snapfile.NewWriter(w, h)
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := state.WriteTo(file); err != nil { // then the file must stay without its end
		return fmt.Errorf("write backup: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// topicContents is a topic and its channels, sorted.
type topicContents struct {
	name     string
	exists   bool // channels may outlive their ephemeral topic
	channels []string
}

// contentsOf is what a restore puts back of a state: its topics, sorted.
func contentsOf(s *fsm.State) []topicContents {
	all := make([]topicContents, 0, s.Counts().Topics)
	s.Contents(func(topic string, exists bool, channels []string) bool {
		all = append(all, topicContents{topic, exists, channels})
		return true
	})
	return all
}

// readBackup reads a file to its end and checks all of it, in a registry of its own.
func readBackup(body io.Reader) (snapfile.Header, []topicContents, error) {
	file, err := snapfile.NewReader(body)
	if err != nil {
		return snapfile.Header{}, nil, badBackup(err)
	}
	registry := fsm.New()
	if err := registry.Restore(file); err != nil {
		// Damage makes no sense to the registry either; the file's own checks know which it is.
		if _, damage := io.Copy(io.Discard, file); damage != nil {
			err = damage
		}
		return file.Header, nil, badBackup(err)
	}
	if err := checkHeader(file.Header, registry.State()); err != nil {
		return file.Header, nil, badBackup(err)
	}
	contents := contentsOf(registry.State())
	for _, t := range contents {
		if err := checkNames(t); err != nil {
			return file.Header, nil, badBackup(err)
		}
	}
	return file.Header, contents, nil
}

func badBackup(err error) error {
	for _, bad := range []error{snapfile.ErrDamaged, snapfile.ErrNotSnapshot, snapfile.ErrTooNew, fsm.ErrCorrupt, fsm.ErrTooNew} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: %w", ErrBadBackup, err)
		}
	}
	return fmt.Errorf("read backup: %w", err) // nothing is known of the file
}

// checkHeader holds what the header claims against what the file has.
func checkHeader(h snapfile.Header, s *fsm.State) error {
	counts := s.Counts()
	for _, f := range []struct {
		what          string
		claims, holds any
	}{
		{"index", h.Index, s.Index()},
		{"fingerprint", h.Fingerprint, s.Fingerprint().String()},
		{"topics", h.Topics, counts.Topics},
		{"channels", h.Channels, counts.Channels},
		{"producers", h.Producers, counts.Producers},
		{"sessions", h.Sessions, counts.Sessions},
	} {
		if f.claims != f.holds {
			return fmt.Errorf("%w: its header claims %s %v, it holds %v", snapfile.ErrDamaged, f.what, f.claims, f.holds)
		}
	}
	return nil
}

// checkNames refuses names that no client can have chosen: no replica wrote them.
func checkNames(t topicContents) error {
	if !fsm.ValidName(t.name) {
		return fmt.Errorf("%w: no topic is called %q", snapfile.ErrDamaged, t.name)
	}
	for _, channel := range t.channels {
		if !fsm.ValidName(channel) {
			return fmt.Errorf("%w: no channel is called %q", snapfile.ErrDamaged, channel)
		}
	}
	return nil
}
