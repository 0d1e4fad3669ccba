package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestOperationsFacts holds what operations.md says in its text to what holds it elsewhere: the defaults of flags, and
// with what words a replica ends whose disk is broken.
func TestOperationsFacts(t *testing.T) {
	page, defaults := readText(t, walkedPages[0]), readText(t, "../docs/raftlookupd.example.toml")
	rows := regexp.MustCompile("(?m)^\\| `-([a-z-]+)` \\| ([^ |]+) \\|").FindAllStringSubmatch(page, -1)
	if len(rows) < 5 {
		t.Errorf("flags with a default: %v", rows)
	}
	for _, row := range rows {
		key := strings.ReplaceAll(row[1], "-", "_")
		found := regexp.MustCompile(`(?m)^# ` + key + ` = "?([^"\n]+)"?$`).FindStringSubmatch(defaults)
		if found == nil || !sameValue(found[1], row[2]) {
			t.Errorf("-%s: the page has %s as the default, the example file %q", row[1], row[2], found)
		}
	}
	for _, fault := range diskFaults {
		if !strings.Contains(page, fault.says) {
			t.Errorf("the page does not say %q", fault.says)
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameValue takes 1m and 60s for the same.
func sameValue(a, b string) bool {
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	return a == b || errX == nil && errY == nil && x == y
}
