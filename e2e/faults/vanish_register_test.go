package faults

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// late is a topic that an nsqd makes while its replica cannot commit, or does not answer.
const late = "made-late"

// TestRegisterDuringFault lets nsqds have something to say while the only replica that they know is cut off, has no
// majority, or is stopped. None of what they had vanishes, and what is new is listed when the nsqd has said it again.
func TestRegisterDuringFault(t *testing.T) {
	t.Parallel()
	faults := map[string]func(s *scene) (mend func()){
		"cut": func(s *scene) func() { return s.cut(s.Isolate(s.Replicas[0])) },
		"noMajority": func(s *scene) func() {
			s.pause(s.Replicas[1:]...)
			return func() { s.resume(s.Replicas[1:]...) }
		},
		"pause": func(s *scene) func() {
			s.pause(s.Replicas[0])
			return func() { s.resume(s.Replicas[0]) }
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			nsqds := s.nsqds(4, s.Replicas[0])
			mend := fault(s)
			s.hold(time.Second)
			var all sync.WaitGroup // an nsqd asks its replica for the topic's channels, for up to 5 s
			for _, n := range nsqds {
				all.Go(func() {
					if err := n.Create(s.ctx, late); err != nil {
						s.Error(err)
					}
				})
			}
			s.hold(4 * time.Second)
			mend()
			all.Wait()
			s.within("all list what was registered during the fault", pingInterval+time.Second, afterwards, func() error {
				return s.producersOf(late, len(nsqds))
			})
			s.hold(pingInterval)
			s.noneMissing()
		})
	}
}

// producersOf returns nil when all replicas list that many producers of a topic.
func (s *scene) producersOf(topic string, want int) error {
	for _, r := range s.Replicas {
		got, err := r.Producers(s.ctx, topic)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s lists %d producers of %s, want %d", r.Name(), got, topic, want)
		}
	}
	return nil
}
