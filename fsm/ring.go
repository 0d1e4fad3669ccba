package fsm

import (
	"cmp"
	"errors"
	"slices"
	"sync"
)

// ringSize is how many recent fingerprints a registry remembers.
const ringSize = 4096

// ErrIndexTooOld means that the fingerprint at that index is no longer remembered.
var ErrIndexTooOld = errors.New("index is too old")

// ring remembers the fingerprint after each of the last entries.
type ring struct {
	mu     sync.Mutex
	points []point // by index; a ring once it is full
	next   int     // where the next one goes
}

type point struct {
	index       uint64
	fingerprint Fingerprint
}

func (r *ring) add(index uint64, f Fingerprint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.points) < ringSize {
		r.points = append(r.points, point{index, f})
		return
	}
	r.points[r.next] = point{index, f}
	r.next = (r.next + 1) % ringSize
}

func (r *ring) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.points, r.next = nil, 0
}

// at returns the fingerprint after the last entry up to index.
func (r *ring) at(index uint64) (Fingerprint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.search(index); ok {
		return p.fingerprint, nil
	}
	return Fingerprint{}, ErrIndexTooOld
}

// search finds the newest point up to index.
func (r *ring) search(index uint64) (point, bool) {
	older, newer := r.points[r.next:], r.points[:r.next]
	for _, part := range [][]point{newer, older} {
		i, found := slices.BinarySearchFunc(part, index, func(p point, index uint64) int {
			return cmp.Compare(p.index, index)
		})
		if found {
			return part[i], true
		}
		if i > 0 {
			return part[i-1], true
		}
	}
	return point{}, false
}

// FingerprintAt returns the fingerprint that the registry had when all entries up to index were
// applied; ErrIndexTooOld when that is no longer known. For an index beyond the last applied entry
// it is today's: the caller knows how far the log has come.
func (r *Registry) FingerprintAt(index uint64) (Fingerprint, error) { return r.ring.at(index) }
