package bench

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// profileSeconds covers what is measured; what comes behind it uses no processor and does not show.
const profileSeconds = 5

// profile begins a CPU profile of each server, when that was asked for, and returns what waits for its end.
func (b *bench) profile(what string, s *system) (done func()) {
	var wg sync.WaitGroup
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o700); err != nil {
			b.say("no profiles: %v", err)
		}
		for _, l := range s.servers {
			path := filepath.Join(b.profiles, fmt.Sprintf("%s-%s-%d.prof", what, l.name, l.pid()))
			wg.Go(func() {
				if err := fetch(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", l.http, profileSeconds), path); err != nil {
					b.say("no profile of %s: %v", l.name, err)
				}
			})
		}
	}
	return wg.Wait
}

func fetch(url, path string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %.200s", url, resp.Status, text)
	}
	return os.WriteFile(path, text, 0o600)
}
