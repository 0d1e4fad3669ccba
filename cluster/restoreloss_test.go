package cluster

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// The replica that restores is the leader, and is lost on the way: the rest is done by repeating it.
func TestRestoreIsRepeatedAfterItsReplicaWasLost(t *testing.T) {
	file := manyTopics(t, 20000)
	c := newTrio(t, 3, nil)
	change(t, c.replicas[0], fsm.CreateTopic("surplus"))
	lost := c.leader()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := lost.RestoreBackup(ctx, bytes.NewReader(file), true)
		ended <- err
	}()
	halfWay(t, c, 1000)
	c.part(lost, true)
	stop()
	if err := <-ended; err == nil {
		t.Fatal("the restore was done before the replica was lost")
	}
	var rest []*Replica
	for i, r := range c.replicas {
		if r == lost {
			c.stop(i)
		} else {
			rest = append(rest, r)
		}
	}
	c.heal()
	c.leader(rest...)
	if n := rest[0].registry.State().Counts().Topics; n >= 20000 {
		t.Fatalf("%d topics before the restore is repeated", n)
	}
	mustRestore(t, rest[0], file, true)
	for i, r := range c.replicas {
		if r == nil {
			c.start(i)
		}
	}
	c.ready()
	c.agree()
	if got := contents(c.replicas[0].registry.State()); got != fileContents(t, file) {
		t.Errorf("%d bytes of contents differ from the file's", len(got))
	}
}

// halfWay waits until every replica has so many topics.
func halfWay(t *testing.T, c *trio, topics int) {
	t.Helper()
	eventually.True(t, soon, "half of the restore", func() error {
		for _, r := range c.running() {
			if n := r.registry.State().Counts().Topics; n < topics {
				return fmt.Errorf("%s has %d topics", r.Name(), n)
			}
		}
		return nil
	})
}

// A follower restores, and the leader is lost on the way: the restore goes on with the next one.
func TestRestoreGoesOnWithTheNextLeader(t *testing.T) {
	file := manyTopics(t, 20000)
	c := newTrio(t, 3, nil)
	at := c.follower()
	ended := make(chan error, 1)
	go func() {
		_, err := at.RestoreBackup(context.Background(), bytes.NewReader(file), true)
		ended <- err
	}()
	halfWay(t, c, 1000)
	old := c.leader()
	c.part(old, true)
	if n := at.registry.State().Counts().Topics; n >= 20000 {
		t.Fatal("the restore was done before the leader was lost")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.heal()
	c.agree()
	if got := contents(old.registry.State()); got != fileContents(t, file) {
		t.Errorf("%d bytes of contents differ from the file's", len(got))
	}
}

// What was committed before a restore counts, also at a replica that has not heard of it yet.
func TestRestoreAtAReplicaThatIsBehind(t *testing.T) {
	c := newTrio(t, 3, nil)
	change(t, c.replicas[0], fsm.CreateTopic("topic"))
	c.agree()
	behind := c.follower()
	file := backup(t, behind)
	c.part(behind, true)
	var rest []*Replica
	for _, r := range c.running() {
		if r != behind {
			rest = append(rest, r)
		}
	}
	change(t, c.leader(rest...), fsm.CreateTopic("surplus"))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if done, err := behind.RestoreBackup(ctx, bytes.NewReader(file), false); err == nil {
		t.Errorf("restored %+v while cut off", done)
	}
	c.heal()
	c.leader()
	eventually.True(t, 2*soon, "a restore", func() error {
		_, err := restore(behind, file, false)
		return err
	})
	c.agree()
	if got := contents(behind.registry.State()); got != "topic(true)[] " {
		t.Errorf("contents %s", got)
	}
}
