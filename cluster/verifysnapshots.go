package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// verifySnapshots checks the newest snapshot's checksum and content and returns where it ends.
func (d *dataPath) verifySnapshots(store raft.SnapshotStore) (entryMark, error) {
	list, err := store.List()
	if err != nil {
		return entryMark{}, dataError(d.dir, "cannot list snapshots: %w: %s", err, checkDisk)
	}
	var known []string
	for _, meta := range list {
		known = append(known, meta.ID)
		if !strings.HasPrefix(meta.ID, fmt.Sprintf("%d-%d-", meta.Term, meta.Index)) { // of meta.json nothing has a checksum
			return entryMark{}, d.damaged("snapshot "+meta.ID, errors.New("its meta.json does not fit its name"))
		}
	}
	folders, err := d.snapshotFolders()
	if err != nil {
		return entryMark{}, err
	}
	if newest := hiddenSnapshot(folders, known); newest != "" {
		if _, err = os.ReadFile(filepath.Join(d.file(snapshotDir), newest, snapshotMeta)); !unreachable(err) {
			err = errors.New("its meta.json cannot be read")
		}
		return entryMark{}, d.damaged("snapshot "+newest, err)
	}
	if len(list) == 0 {
		return entryMark{}, nil
	}
	_, source, err := store.Open(list[0].ID) // reads all of it
	if err != nil {
		return entryMark{}, d.damaged("snapshot "+list[0].ID, err)
	}
	registry := fsm.New()
	err = errors.Join(registry.Restore(source), source.Close())
	if covers := registry.State().Index(); err == nil && covers > list[0].Index {
		err = fmt.Errorf("it holds entry %d", covers)
	}
	switch {
	case errors.Is(err, fsm.ErrTooNew):
		return entryMark{}, dataError(d.dir, "snapshot %s: %w", list[0].ID, err)
	case err != nil:
		return entryMark{}, d.damaged("snapshot "+list[0].ID, err)
	}
	return entryMark{list[0].Index, list[0].Term}, nil
}

// snapshotMeta is the library's: the file without which a folder is no snapshot.
const snapshotMeta = "meta.json"

// snapshotFolders returns the names in the folder of the snapshots that are folders.
func (d *dataPath) snapshotFolders() ([]string, error) {
	entries, err := os.ReadDir(d.file(snapshotDir))
	if err != nil {
		return nil, dataError(d.dir, "cannot read %s: %w: %s", snapshotDir, err, checkDisk)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// snapshotName is what the library calls a snapshot: it has the order of the snapshots.
type snapshotName struct{ term, index, made uint64 }

// parseSnapshotName returns false for what is no finished snapshot of the library's.
func parseSnapshotName(folder string) (n snapshotName, ok bool) {
	parts := strings.Split(folder, "-")
	if len(parts) != 3 {
		return n, false
	}
	for i, to := range []*uint64{&n.term, &n.index, &n.made} {
		var err error
		if *to, err = strconv.ParseUint(parts[i], 10, 64); err != nil {
			return n, false
		}
	}
	return n, true
}

func (n snapshotName) compare(o snapshotName) int {
	return cmp.Or(cmp.Compare(n.term, o.term), cmp.Compare(n.index, o.index), cmp.Compare(n.made, o.made))
}

// hiddenSnapshot returns a snapshot that the library passes over, because its meta.json cannot be read, and
// that is newer than all it knows; "" for none. An older one is what is left of a removal.
func hiddenSnapshot(folders, known []string) string {
	newest, all := snapshotName{}, make(map[string]bool)
	for _, k := range known {
		all[k] = true
		if n, ok := parseSnapshotName(k); ok && n.compare(newest) > 0 {
			newest = n
		}
	}
	for _, f := range folders {
		if n, ok := parseSnapshotName(f); ok && !all[f] && n.compare(newest) > 0 {
			return f
		}
	}
	return ""
}
