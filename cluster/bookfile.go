package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	bookFile   = "peers.json"
	bookFormat = 1
	// maxBookBytes bounds what is read of the file.
	maxBookBytes = 1 << 20
	// bookEvery is how often acknowledged indexes are written.
	bookEvery = 3 * time.Second
)

// bookContent is the book's file.
type bookContent struct {
	Format  int          `json:"format"`
	Cluster string       `json:"cluster_id"`
	Peers   []peerRecord `json:"peers"` // the one heard of last comes last
}

// loadBook reads the book of a data path that belongs to that cluster. A file of another cluster, as
// after recover, is of no use any more. A file that is missing or damaged is an empty book: the error
// is for a warning only.
func (d *dataPath) loadBook(cluster string) (*book, error) {
	b := newBook()
	b.cluster = cluster
	info, err := os.Stat(d.file(bookFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err == nil && info.Size() > maxBookBytes:
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	if err != nil {
		return b, err
	}
	raw, err := os.ReadFile(d.file(bookFile))
	if err != nil {
		return b, err
	}
	var c bookContent
	if err := json.Unmarshal(raw, &c); err != nil {
		return b, err
	}
	if c.Cluster != cluster || cluster == "" || c.Format > bookFormat {
		return b, nil
	}
	for _, known := range c.Peers {
		if known.ID == "" || known.ID == d.ID {
			continue
		}
		*b.of(known.ID) = known
		b.of(known.ID).Addresses = known.Addresses[:min(len(known.Addresses), maxAddresses)]
	}
	return b, nil
}

// content returns what the file should hold, and counts it as written.
func (b *book) content(me string) bookContent {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := bookContent{Format: bookFormat, Cluster: b.cluster}
	for _, known := range b.records {
		if known.ID != me {
			r := *known
			r.Addresses = slices.Clone(known.Addresses)
			c.Peers = append(c.Peers, r)
		}
	}
	slices.SortFunc(c.Peers, func(x, y peerRecord) int { return cmp.Compare(x.heard, y.heard) })
	b.dirty = false
	return c
}

// saveBook writes the book, if it has changed since and belongs to a cluster.
func (r *Replica) saveBook() error {
	cluster := r.whoami().cluster
	r.bookWriting.Lock()
	defer r.bookWriting.Unlock()
	b := r.book
	b.mu.Lock()
	if b.cluster == "" {
		b.cluster = cluster
	}
	nothing := !b.dirty || b.cluster == ""
	b.mu.Unlock()
	if nothing {
		return nil
	}
	raw, err := json.MarshalIndent(b.content(r.data.ID), "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", bookFile, err)
	}
	if err := r.data.replace(bookFile, append(raw, '\n')); err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
		return err
	}
	return nil
}

// keepNow writes the book before anything is said to a replica that has changed.
func (r *Replica) keepNow() {
	if err := r.saveBook(); err != nil {
		r.log.Warn("cannot remember what is known of the other replicas", "error", err)
	}
}

// keepBook writes the book when it has changed: at once for what greetings and gossip tell, now and
// then for acknowledged indexes. It runs until the context ends.
func (r *Replica) keepBook(ctx context.Context) error {
	t := time.NewTicker(bookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.book.changed:
		case <-t.C:
		}
		if err := r.saveBook(); err != nil {
			r.log.Warn("cannot remember what is known of the other replicas", "error", err)
			pause(ctx, bookEvery)
		}
	}
}
