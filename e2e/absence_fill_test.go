package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// fillWave is how many commands an nsqd that fills the log sends before it reads the answers. More of them share
	// an entry, so that more would make no more entries: two replicas or three make about 1,000 a second.
	fillWave = 8
	// fillPatience is for some 30,000 entries, on a machine that is busy.
	fillPatience = 3 * time.Minute
)

// fill makes entries until enough returns nil: an nsqd at each replica that runs registers and unregisters a topic, as
// fast as it is answered.
func (c *cluster) fill(t *testing.T, enough func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, r := range c.up() {
		conn := mustConnect(t, r.lookupd, "fill-"+r.name)
		wg.Go(func() {
			defer conn.Close()
			if err := waves(ctx, conn); err != nil && ctx.Err() == nil {
				t.Errorf("fill the log at %s: %v", r.name, err)
			}
		})
	}
	eventually(t, fillPatience, enough)
	cancel()
	wg.Wait()
}

// waves sends commands and reads their answers, many at a time.
func waves(ctx context.Context, conn *conn) error {
	conn.timeout = clusterPatience
	wave := strings.Repeat("REGISTER filled c\nUNREGISTER filled c\n", fillWave/2)
	for ctx.Err() == nil {
		if err := conn.send(wave); err != nil {
			return err
		}
		for range fillWave {
			// On a busy machine a command is queued, but not committed in time.
			if got, err := conn.answer(); err != nil || got != "OK" && !strings.HasPrefix(got, "E_PENDING ") {
				return errors.Join(err, fmt.Errorf("answered %q", got))
			}
		}
	}
	return nil
}

// snapshotIndex returns the index of the newest snapshot in the replica's data path, 0 when there is none. The name
// of a snapshot is the library's: term-index-time.
func (r *replica) snapshotIndex() (uint64, error) {
	dirs, err := filepath.Glob(filepath.Join(r.data, "snapshots", "*-*-*"))
	if err != nil {
		return 0, err
	}
	var newest uint64
	for _, dir := range dirs {
		if strings.HasSuffix(dir, ".tmp") {
			continue
		}
		index, err := strconv.ParseUint(strings.Split(filepath.Base(dir), "-")[1], 10, 64)
		if err != nil {
			return 0, err
		}
		newest = max(newest, index)
	}
	return newest, nil
}

// hasSnapshotAt returns nil when each of the replicas has a snapshot at that index or a later one.
func hasSnapshotAt(index uint64, replicas ...*replica) error {
	for _, r := range replicas {
		at, err := r.snapshotIndex()
		if err == nil && at < index {
			err = fmt.Errorf("the newest snapshot of %s is at %d, want %d at least", r.name, at, index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
