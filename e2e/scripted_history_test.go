package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScriptedHistory plays the histories in testdata, which say more about the protocols than any
// other test here. It goes on after a difference: one run shows them all.
func TestScriptedHistory(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/history/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	w := startTwins(t, "-log-level", "error")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { playFile(t, newPlayer(w), file) })
	}
}

func playFile(t *testing.T, p *player, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if err := p.step(line); err != nil {
			t.Errorf("%s:%d: %s: %v", file, i+1, line, err)
		}
	}
	if err := p.finish(); err != nil {
		t.Errorf("clean up after %s: %v", file, err)
	}
}
