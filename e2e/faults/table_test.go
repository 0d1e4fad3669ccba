package faults

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// table collects one row per measurement, for docs/cluster.md.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct{ test, what, measured string }

func (t *table) add(test, what, measured string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, row{strings.TrimPrefix(test, "Test"), what, measured})
}

// publish prints the table, sorted by test, and writes it to a file too when one is named.
func (t *table) publish(path string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return nil
	}
	slices.SortStableFunc(t.rows, func(a, b row) int { return strings.Compare(a.test, b.test) })
	var text bytes.Buffer
	text.WriteString("| test | what | measured |\n| --- | --- | --- |\n")
	for _, r := range t.rows {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", r.test, r.what, r.measured)
	}
	os.Stdout.Write(text.Bytes())
	if path == "" {
		return nil
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
