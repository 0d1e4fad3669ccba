package ctl

import "time"

// progress tells line on stderr every progressEvery until stop is called, which waits for its goroutine.
// line is called on that goroutine; for "" nothing is told.
func (p *program) progress(line func() string) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(p.progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if text := line(); text != "" {
					p.note("%s", text)
				}
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
