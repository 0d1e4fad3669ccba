package fsm

import "sync"

// Thing is what a watcher waits for.
type Thing struct {
	Topic  string // a topic: its channels and producers
	Topics bool   // which topics there are
	Nodes  bool   // what /nodes shows
	All    bool   // any entry that is applied
}

// WhatToWatch is the thing to wait for when a topic was asked for: of AllTopics any entry may change it.
func WhatToWatch(topic string) Thing {
	if topic == AllTopics {
		return Thing{All: true}
	}
	return Thing{Topic: topic}
}

// watch wakes those who wait for a thing to change. It costs an entry one lock when nobody waits.
type watch struct {
	mu      sync.Mutex
	waiters map[Thing]map[*Waiter]struct{}
}

// Waiter waits for one change.
type Waiter struct {
	// C is closed when the thing has changed, or may have: read the state again.
	C     chan struct{}
	watch *watch
	thing Thing
}

// Watch begins to wait for the next change of one thing (set one field of Thing). Look at the
// state after this call, so that no change falls in between. Stop the waiter when done.
func (r *Registry) Watch(thing Thing) *Waiter {
	w := &Waiter{C: make(chan struct{}), watch: &r.watch, thing: thing}
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	if r.watch.waiters == nil {
		r.watch.waiters = make(map[Thing]map[*Waiter]struct{})
	}
	if r.watch.waiters[thing] == nil {
		r.watch.waiters[thing] = make(map[*Waiter]struct{})
	}
	r.watch.waiters[thing][w] = struct{}{}
	return w
}

// Stop ends the wait. It may be called more than once.
func (w *Waiter) Stop() {
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	delete(w.watch.waiters[w.thing], w)
	if len(w.watch.waiters[w.thing]) == 0 {
		delete(w.watch.waiters, w.thing)
	}
}

// Waiters is how many wait for anything.
func (r *Registry) Waiters() int {
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	n := 0
	for _, of := range r.watch.waiters { // order does not matter: a sum
		n += len(of)
	}
	return n
}

// notify wakes those who wait for what was changed.
func (w *watch) notify(done *work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters) == 0 {
		return
	}
	w.wake(Thing{All: true})
	if done.topicsListed > 0 {
		w.wake(Thing{Topics: true})
	}
	if done.nodesListed > 0 {
		w.wake(Thing{Nodes: true})
	}
	for _, name := range done.touched {
		w.wake(Thing{Topic: name})
	}
}

func (w *watch) wake(thing Thing) {
	for waiter := range w.waiters[thing] { // order does not matter: all of them wake
		close(waiter.C)
	}
	delete(w.waiters, thing)
}

// wakeAll wakes everybody: the whole registry was replaced.
func (w *watch) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for thing := range w.waiters { // order does not matter: all of them wake
		w.wake(thing)
	}
}
