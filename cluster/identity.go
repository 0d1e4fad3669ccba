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
)

const identityFormat = 1

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
	// Joins says that this replica was told to join a cluster, or has left one: it forms none by
	// itself.
	Joins bool `json:"joins,omitempty"`
	// Given are the gossip addresses that this replica was told to join, Peers those of the replicas
	// that it has been in a cluster with: where it looks for others after a restart, besides -join.
	Given []string `json:"given,omitempty"`
	Peers []string `json:"peers,omitempty"`
	// Reset says that everything but the name, Joins, Given and Peers is to be forgotten at the next start,
	// which begins under a new id.
	Reset bool `json:"reset,omitempty"`
}

func (d *dataPath) load(name string, nameGiven bool) error {
	raw, err := os.ReadFile(d.file(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(name)
	}
	if err != nil {
		return dataError(d.dir, "cannot read %s: %w: %s", identityFile, err, checkDisk)
	}
	err = json.Unmarshal(raw, &d.is)
	if d.is.Format > identityFormat { // whatever else has changed in it
		return dataError(d.dir, "was written by a newer version of raftlookupd: upgrade this one")
	}
	if err == nil && (d.is.Format < 1 || d.is.ID == "" || d.is.Name == "") {
		err = errors.New("a field is missing")
	}
	if err != nil {
		return dataError(d.dir, "%s is corrupt (%w): %s", identityFile, err, moveAway)
	}
	if nameGiven && d.is.Name != name {
		return dataError(d.dir, "belongs to replica %q, not to %q: start with -name %s, or choose another -data-path",
			d.is.Name, name, d.is.Name)
	}
	d.ID, d.Name = d.is.ID, d.is.Name
	return nil
}

// create makes the identity of a new data path. One with a log but no identity is not new.
func (d *dataPath) create(name string) error {
	for _, file := range []string{logFile, snapshotDir} {
		if _, err := os.Stat(d.file(file)); err == nil {
			return dataError(d.dir, "holds %s but no %s, so that nobody knows whose it is: %s", file, identityFile, moveAway)
		}
	}
	return d.begin(identity{Format: identityFormat, ID: randomID(), Name: name})
}

// reset does what Reset announces. After a crash it is done again.
func (d *dataPath) reset() error {
	for _, file := range []string{logFile, snapshotDir, bookFile, livesFile} {
		if err := os.RemoveAll(d.file(file)); err != nil {
			return dataError(d.dir, "cannot be made blank: %w: %s", err, checkDisk)
		}
	}
	if err := d.sync(); err != nil { // the new id must never be seen beside the old log
		return err
	}
	return d.begin(identity{Format: identityFormat, ID: randomID(), Name: d.is.Name, Joins: d.is.Joins, Given: d.is.Given, Peers: d.is.Peers})
}

// begin makes the data path somebody's.
func (d *dataPath) begin(is identity) error {
	d.is, d.ID, d.Name = is, is.ID, is.Name
	return d.save(is)
}

func randomID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// next is a greater incarnation, by a random step. When the identity is older than the log, as after
// a restore of a backup, the log holds lives that the identity has forgotten: with steps of one,
// this life would have the number of one of them, and changes of theirs would pass for its own.
func (d *dataPath) next() uint64 {
	var step [4]byte
	_, _ = rand.Read(step[:]) // never fails
	return d.is.Incarnation + 1 + uint64(binary.BigEndian.Uint32(step[:]))
}

// known returns the identity as it is now.
func (d *dataPath) known() identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.is
}

// update changes the identity, durably or not at all. It waits for the disk; known does not wait
// for it.
func (d *dataPath) update(change func(*identity)) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	next := d.known()
	change(&next)
	if err := d.save(next); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is = next
	return nil
}

// save writes an identity durably.
func (d *dataPath) save(is identity) error {
	raw, err := json.MarshalIndent(is, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", identityFile, err)
	}
	return d.replace(identityFile, append(raw, '\n'))
}

// replace writes a file durably: a new one, synced, in the place of the old one.
func (d *dataPath) replace(file string, content []byte) error {
	path := d.file(file)
	if err := writeSynced(path+".tmp", content); err != nil {
		return dataError(d.dir, "cannot write %s: %w: %s", file, err, checkDisk)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return dataError(d.dir, "cannot write %s: %w: %s", file, err, checkDisk)
	}
	return d.sync()
}
