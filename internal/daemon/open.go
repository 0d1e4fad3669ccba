package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raftlookupd/raftlookupd/cluster"
)

// openLimit is how long a stop waits for a replica that is being opened, which reads its disk.
const openLimit = 10 * time.Second

// open opens the replica. A disk that hangs holds it up, but a stop for openLimit at most: then the ports
// are closed here, because the process may be kept by the disk, and the replica is closed should it open
// yet.
func (d *Daemon) open(ctx context.Context) error {
	type opened struct {
		replica *cluster.Replica
		err     error
	}
	done := make(chan opened, 1)
	go func(cfg cluster.Config) {
		replica, err := cluster.Open(cfg)
		done <- opened{replica, err}
	}(d.clusterConfig())
	select {
	case o := <-done:
		d.replica = o.replica
		return o.err
	case <-ctx.Done():
	}
	late := time.NewTimer(d.openLimit)
	defer late.Stop()
	select {
	case o := <-done:
		d.replica = o.replica
		return o.err
	case <-late.C:
	}
	go func() {
		if o := <-done; o.err == nil {
			_ = o.replica.Close()
		}
	}()
	return errors.Join(fmt.Errorf("open data path %s: told to stop, and not done %s later: check the disk", d.cfg.DataPath, d.openLimit),
		d.clusterPort.Close())
}
