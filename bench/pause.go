package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pauses are the longest times without a commit.
type pauses struct {
	before, during time.Duration // the snapshot
	writing        time.Duration // how long it is written
}

func (p pauses) String() string {
	return fmt.Sprintf("%s without a snapshot, which is written for %s", inSeconds.format(p.before.Seconds()), inSeconds.format(p.writing.Seconds()))
}

const (
	// writers make enough entries for a snapshot in some seconds: it is taken after 8,192.
	writers          = 16
	snapshotPatience = 3 * time.Minute
	snapshotLook     = 2 * time.Millisecond
)

// span is a stretch of time.
type span struct{ from, to time.Time }

// snapshotPause makes changes at the leader until it has written a snapshot.
func (b *bench) snapshotPause(ctx context.Context, st *stage) (pauses, error) {
	leader, _, err := st.roles(ctx)
	if err != nil {
		return pauses{}, err
	}
	l := httpLoad{addresses: []string{leader.http}, clients: writers, method: http.MethodPost, request: func(client, n int) string {
		return fmt.Sprintf("/channel/create?topic=pause-%d&channel=c%d", client, n)
	}}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var a *answered
	done := make(chan error, 1)
	go func() {
		var err error
		a, err = l.run(writing)
		done <- err
	}()
	taken, err := awaitSnapshot(ctx, filepath.Join(st.dir, leader.name, "snapshots"))
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return pauses{}, err
	}
	slices.SortFunc(a.ended, time.Time.Compare)
	return gaps(a.ended, taken), nil
}

// awaitSnapshot waits until one is being written, and then until it is done.
func awaitSnapshot(ctx context.Context, dir string) (span, error) {
	const warm = 500 * time.Millisecond // so that there is something to compare with
	wait(ctx, warm)
	var s span
	err := until(ctx, snapshotLook, snapshotPatience, func(context.Context) error {
		if !unfinished(dir) {
			return errors.New("no snapshot is written")
		}
		s.from = time.Now()
		return nil
	})
	if err != nil {
		return s, err
	}
	err = until(ctx, snapshotLook, snapshotPatience, func(context.Context) error {
		if unfinished(dir) {
			return errors.New("a snapshot is written for ever")
		}
		s.to = time.Now()
		return nil
	})
	return s, err
}

func unfinished(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".tmp") })
}

// gaps finds the longest times between two commits, which are sorted. A snapshot is noticed late by as much as it takes to
// look, so those just before it count as during it.
func gaps(commits []time.Time, snapshot span) pauses {
	const margin = 10 * time.Millisecond
	p := pauses{writing: snapshot.to.Sub(snapshot.from)}
	for i := 1; i < len(commits); i++ {
		gap := commits[i].Sub(commits[i-1])
		switch {
		case commits[i].Before(snapshot.from.Add(-margin)):
			p.before = max(p.before, gap)
		case commits[i-1].Before(snapshot.to.Add(margin)):
			p.during = max(p.during, gap)
		}
	}
	return p
}
