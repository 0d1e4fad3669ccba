package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

const (
	livesFile   = "lives.json"
	livesFormat = 1
	// maxLives is of how many starts a data path keeps the nonces.
	maxLives = 32
)

// life names one start of a replica: its number, and a nonce that tells it from the start of a copy
// that counts the same number. The zero life is that of a program that does not count, as release
// 0.1.0 does not.
type life struct {
	Start uint64 `json:"start"`
	Nonce uint32 `json:"nonce"`
}

// lineage is the life of a replica with those that it descends from. A copy of a data path that starts
// once more counts on, but does not descend from what the original has lived meanwhile.
type lineage struct {
	Start  uint64   `json:"start"`
	Nonces []uint32 `json:"nonces"` // of the newest starts; that of Start comes last
}

// life returns the newest life.
func (l lineage) life() life {
	if l.Start == 0 || len(l.Nonces) == 0 {
		return life{}
	}
	return life{l.Start, l.Nonces[len(l.Nonces)-1]}
}

// nonce returns that of an earlier start, false when it is not known any more.
func (l lineage) nonce(start uint64) (uint32, bool) {
	if start > l.Start || l.Start-start >= uint64(len(l.Nonces)) {
		return 0, false
	}
	return l.Nonces[uint64(len(l.Nonces))-1-(l.Start-start)], true
}

// includes reports whether the lineage is that life's or descends from it.
func (l lineage) includes(other life) bool {
	nonce, kept := l.nonce(other.Start)
	return kept && nonce == other.Nonce
}

// next returns the lineage of the start after this one.
func (l lineage) next() lineage {
	var nonce [4]byte
	_, _ = rand.Read(nonce[:]) // never fails
	all := append(slices.Clone(l.Nonces), binary.BigEndian.Uint32(nonce[:]))
	return lineage{l.Start + 1, all[max(0, len(all)-maxLives):]}
}

// livesContent is the content of the file. It is not part of replica.json, because release 0.1.0 drops
// what it does not know when it writes that file: after a way back and forth the count would begin again.
type livesContent struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	lineage
}

// beginLife counts this start, durably, and returns its lineage. Nothing may have been said to another
// replica before.
func (d *dataPath) beginLife() (lineage, error) {
	var known livesContent
	raw, err := os.ReadFile(d.file(livesFile))
	if err == nil {
		err = json.Unmarshal(raw, &known)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // new, or of release 0.1.0
	case known.Format > livesFormat:
		return lineage{}, dataError(d.dir, "was written by a newer version of raftlookupd: upgrade this one")
	case err != nil || known.Format < 1 || len(known.Nonces) == 0:
		return lineage{}, dataError(d.dir, "%s is corrupt (%v): %s", livesFile, err, moveAway)
	}
	if known.ID != d.ID { // it is of the id that the data path had before it was made blank
		known = livesContent{}
	}
	now := livesContent{Format: livesFormat, ID: d.ID, lineage: known.next()}
	if raw, err = json.Marshal(now); err != nil {
		return lineage{}, fmt.Errorf("encode %s: %w", livesFile, err)
	}
	return now.lineage, d.replace(livesFile, append(raw, '\n'))
}
