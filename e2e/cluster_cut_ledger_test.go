package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// ledger is what must and what may exist in the end, as "topic" or "topic channel". What nsqds register stays when
// they leave.
type ledger struct {
	mu        sync.Mutex
	must, may map[string]bool
	doubted   map[string]bool // a change of it got no clear answer, and may be carried out at any time
	strange   error           // the last answer that no nsqd should get
}

func newLedger() *ledger {
	return &ledger{must: map[string]bool{}, may: map[string]bool{}, doubted: map[string]bool{}}
}

// tries is called before a name is asked for.
func (l *ledger) tries(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	topic, _, _ := strings.Cut(name, " ")
	l.may[topic], l.may[name] = true, true
}

// has is called when it was answered that it is there, or will be.
func (l *ledger) has(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	topic, _, _ := strings.Cut(name, " ")
	l.must[topic] = true
	l.must[name] = !l.doubted[name]
}

// create asks for a name. Nobody else creates or deletes it meanwhile.
func (l *ledger) create(name string, ask func() error) {
	l.tries(name)
	if err := ask(); err != nil {
		l.doubt(name)
		return
	}
	l.has(name)
}

// delete asks for the opposite.
func (l *ledger) delete(name string, ask func() error) {
	if err := ask(); err != nil {
		l.doubt(name)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.must[name], l.may[name] = false, l.doubted[name]
}

func (l *ledger) doubt(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubted[name], l.must[name] = true, false
}

// wonder is called with what compare has to fail for.
func (l *ledger) wonder(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strange = err
}

// compare returns nil when the names below topic, or the topics when that is "", are what they should be, once each.
func (l *ledger) compare(topic string, got []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strange != nil {
		return l.strange
	}
	full := func(name string) string { return strings.TrimPrefix(topic+" "+name, " ") }
	for i, name := range got {
		if !l.may[full(name)] || slices.Contains(got[:i], name) {
			return fmt.Errorf("%q is listed, and should not be or not again, in %v", full(name), got)
		}
	}
	for name, must := range l.must {
		parent, child, isChannel := strings.Cut(name, " ")
		if !isChannel {
			parent, child = "", name
		}
		if must && parent == topic && !slices.Contains(got, child) {
			return fmt.Errorf("%q is not listed, in %v", name, got)
		}
	}
	return nil
}
