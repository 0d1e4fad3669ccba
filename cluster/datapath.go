package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// The files of a data path. Raft's snapshots are in snapshots/, which its library names.
const (
	lockFile     = "lock"
	identityFile = "replica.json"
	logFile      = "raft.db"
	snapshotDir  = "snapshots"
)

// moveAway is what to do about data that cannot be trusted.
const moveAway = "move the data path away and start again: a replica of a cluster gets everything back " +
	"from the others, a lone one starts empty and its nsqds register again"

// checkDisk is what to do when the data may be sound but cannot be got at.
const checkDisk = "check the disk and this user's rights there, or choose another -data-path"

// dataPath is a replica's folder, locked against a second process.
type dataPath struct {
	dir  string
	lock *os.File
	// ID and Name are the identity's; they never change once the data path is open.
	ID, Name string

	mu      sync.Mutex // held while the identity is read or changed
	writing sync.Mutex // held while it is being changed on disk
	is      identity
}

func dataError(dir, format string, args ...any) error {
	return fmt.Errorf("%w %s: %w", ErrData, dir, fmt.Errorf(format, args...))
}

// openDataPath locks the folder, making it if need be, and reads whom it belongs to. A new one gets
// a random id and the name; one that belongs to another name is refused if nameGiven. Nothing is
// written to a folder that is not new.
func openDataPath(dir, name string, nameGiven bool) (*dataPath, error) {
	d, err := openDataPathAsItIs(dir, name, nameGiven)
	if err != nil || !d.is.Reset {
		return d, err
	}
	if err := d.reset(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// openDataPathAsItIs is openDataPath, but does not do what Reset announces.
func openDataPathAsItIs(dir, name string, nameGiven bool) (*dataPath, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, dataError(dir, "cannot be made: %w: choose another -data-path", err)
	}
	lock, err := lockDataPath(dir)
	if err != nil {
		return nil, err
	}
	d := &dataPath{dir: dir, lock: lock}
	if err := d.load(name, nameGiven); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func lockDataPath(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, dataError(dir, "is not writable: %w: give this user the right to write, or choose another -data-path", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, dataError(dir, "is in use by another process: stop that one, or choose another -data-path")
	}
	return nil, dataError(dir, "cannot be locked: %w: choose a -data-path on a local file system", err)
}

func writeSynced(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// sync makes the names in the folder durable.
func (d *dataPath) sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return dataError(d.dir, "cannot be opened: %w: %s", err, checkDisk)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return dataError(d.dir, "cannot be synced: %w: %s", err, checkDisk)
	}
	return nil
}

// removeLeftovers deletes snapshots that were not finished, and what is left of those that were removed:
// the library never does. verify has found that none of them is the newest.
func (d *dataPath) removeLeftovers() error {
	incoming, _ := filepath.Glob(d.file(incomingPattern))
	for _, path := range incoming {
		if err := os.Remove(path); err != nil {
			return dataError(d.dir, "cannot remove an unfinished snapshot: %w: %s", err, checkDisk)
		}
	}
	folders, err := d.snapshotFolders()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range folders {
		path := filepath.Join(d.file(snapshotDir), name)
		_, finished := parseSnapshotName(name)
		_, missing := os.Stat(filepath.Join(path, snapshotMeta))
		if strings.HasSuffix(name, ".tmp") || finished && errors.Is(missing, fs.ErrNotExist) {
			if err := os.RemoveAll(path); err != nil {
				return dataError(d.dir, "cannot remove an unfinished snapshot: %w: %s", err, checkDisk)
			}
		}
	}
	return nil
}

func (d *dataPath) file(name string) string { return filepath.Join(d.dir, name) }

// close gives the lock back.
func (d *dataPath) close() { _ = d.lock.Close() }
