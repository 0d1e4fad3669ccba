package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestUpgradeWayBack takes topics and channels from a cluster whose log level has risen to one of the first release, as
// docs/upgrading.md tells: by import, for that release cannot read a file of that level.
func TestUpgradeWayBack(t *testing.T) {
	t.Parallel()
	older, newer := newReplica(t, "old", defaultTimes...), newReplica(t, "new", defaultTimes...)
	older.bin = release(t, firstRelease)
	older.start(t)
	newer.start(t)
	if err := older.post("/channel/create?topic=before&channel=c"); err != nil {
		t.Fatal(err)
	}
	before := filepath.Join(t.TempDir(), "before.snap")
	older.lookupctl(t, "snapshot", "save", before)
	newer.lookupctl(t, "snapshot", "restore", before, "--force")
	if channels, err := newer.channels("before"); err != nil || len(channels) != 1 {
		t.Errorf("restored channels %v, %v", channels, err)
	}
	eventually(t, patience, func() error { return (&cluster{replicas: []*replica{newer}}).hasLevel(1) })
	if err := newer.post("/channel/create?topic=since&channel=c"); err != nil {
		t.Fatal(err)
	}
	since := filepath.Join(t.TempDir(), "since.snap")
	newer.lookupctl(t, "snapshot", "save", since)
	if out, err := older.tryLookupctl(t, "snapshot", "restore", since, "--force"); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%s takes a file of level 1: %v %s", firstRelease, err, out)
	}
	older.lookupctl(t, "import", "--from", newer.http)
	if channels, err := older.channels("since"); err != nil || len(channels) != 1 {
		t.Errorf("imported channels %v, %v", channels, err)
	}
}
