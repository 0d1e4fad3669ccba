package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The files of a data path. Raft's snapshots are in snapshots/, which its library names.
const (
	lockFile     = "lock"
	identityFile = "replica.json"
	logFile      = "raft.db"
	snapshotDir  = "snapshots"
)

const identityFormat = 1

// moveAway is what to do about data that cannot be trusted.
const moveAway = "move the data path away and start again: a replica of a cluster gets everything back " +
	"from the others, a lone one starts empty and its nsqds register again"

// checkDisk is what to do when the data may be sound but cannot be got at.
const checkDisk = "check the disk and this user's rights there, or choose another -data-path"

// identity is who a data path belongs to. It is written whole, never in place.
type identity struct {
	Format      int    `json:"format"`
	ID          string `json:"id"`
	Name        string `json:"name"`
	Incarnation uint64 `json:"incarnation"` // of the last start
	// Cluster is the id of the cluster that the log belongs to, "" while there is none.
	Cluster string `json:"cluster_id"`
	// Forming says that this replica was about to form that cluster: until the log has an entry it
	// may do so again.
	Forming bool `json:"forming,omitempty"`
	// Bootstrapped says that the log has had its first entry, so that an empty one is a lost one.
	Bootstrapped bool `json:"bootstrapped"`
}

// dataPath is a replica's folder, locked against a second process.
type dataPath struct {
	dir  string
	lock *os.File
	identity
}

func dataError(dir, format string, args ...any) error {
	return fmt.Errorf("%w %s: %w", ErrData, dir, fmt.Errorf(format, args...))
}

// openDataPath locks the folder, making it if need be, and reads whom it belongs to. A new one gets
// a random id and the name; one that belongs to another name is refused if nameGiven. Nothing is
// written to a folder that is not new.
func openDataPath(dir, name string, nameGiven bool) (*dataPath, error) {
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

func (d *dataPath) load(name string, nameGiven bool) error {
	raw, err := os.ReadFile(d.file(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(name)
	}
	if err != nil {
		return dataError(d.dir, "cannot read %s: %w: %s", identityFile, err, checkDisk)
	}
	err = json.Unmarshal(raw, &d.identity)
	if d.Format > identityFormat { // whatever else has changed in it
		return dataError(d.dir, "was written by a newer version of raftlookupd: upgrade this one")
	}
	if err == nil && (d.Format < 1 || d.ID == "" || d.Name == "") {
		err = errors.New("a field is missing")
	}
	if err != nil {
		return dataError(d.dir, "%s is corrupt (%w): %s", identityFile, err, moveAway)
	}
	if nameGiven && d.Name != name {
		return dataError(d.dir, "belongs to replica %q, not to %q: start with -name %s, or choose another -data-path",
			d.Name, name, d.Name)
	}
	return nil
}

// create makes the identity of a new data path. One with a log but no identity is not new.
func (d *dataPath) create(name string) error {
	for _, file := range []string{logFile, snapshotDir} {
		if _, err := os.Stat(d.file(file)); err == nil {
			return dataError(d.dir, "holds %s but no %s, so that nobody knows whose it is: %s", file, identityFile, moveAway)
		}
	}
	d.identity = identity{Format: identityFormat, ID: randomID(), Name: name}
	return d.save()
}

func randomID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// save writes the identity durably: a new file, synced, in the place of the old one.
func (d *dataPath) save() error {
	raw, err := json.MarshalIndent(d.identity, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", identityFile, err)
	}
	path := d.file(identityFile)
	if err := writeSynced(path+".tmp", append(raw, '\n')); err != nil {
		return dataError(d.dir, "cannot write %s: %w: %s", identityFile, err, checkDisk)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return dataError(d.dir, "cannot write %s: %w: %s", identityFile, err, checkDisk)
	}
	return d.sync()
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

// next is a greater incarnation, by a random step. When the identity is older than the log, as after
// a restore of a backup, the log holds lives that the identity has forgotten: with steps of one,
// this life would have the number of one of them, and changes of theirs would pass for its own.
func (d *dataPath) next() uint64 {
	var step [4]byte
	_, _ = rand.Read(step[:]) // never fails
	return d.Incarnation + 1 + uint64(binary.BigEndian.Uint32(step[:]))
}

// begin starts the next incarnation; it is durable before anything is said in its name.
func (d *dataPath) begin(incarnation uint64) error {
	d.Incarnation = incarnation
	return d.save()
}

// removeLeftovers deletes snapshots that were not finished: the library never does.
func (d *dataPath) removeLeftovers() error {
	entries, err := os.ReadDir(d.file(snapshotDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dataError(d.dir, "cannot read %s: %w: %s", snapshotDir, err, checkDisk)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			if err := os.RemoveAll(filepath.Join(d.file(snapshotDir), e.Name())); err != nil {
				return dataError(d.dir, "cannot remove an unfinished snapshot: %w: %s", err, checkDisk)
			}
		}
	}
	return nil
}

func (d *dataPath) file(name string) string { return filepath.Join(d.dir, name) }

// close gives the lock back.
func (d *dataPath) close() { _ = d.lock.Close() }
