package reference

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

var update = flag.Bool("update", false, "write the pages instead of comparing them")

func write(t *testing.T) map[string]string {
	t.Helper()
	pages, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestPagesAreUpToDate(t *testing.T) {
	pages := write(t)
	for path, want := range pages {
		path = filepath.Join(root, filepath.FromSlash(path))
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: run make docs", err)
		} else if string(got) != want {
			t.Errorf("%s is not what the code says: run make docs (%s)", path, firstDifference(string(got), want))
		}
	}
	for _, dir := range []string{"docs/reference", "docs/man"} {
		found, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if pages[dir+"/"+f.Name()] == "" {
				t.Errorf("%s/%s is written by nobody: take it away", dir, f.Name())
			}
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			return "it should have " + w[i]
		}
	}
	return "it is longer"
}

func TestPagesAreTheSameEachTime(t *testing.T) {
	first := write(t)
	for range 5 {
		for path, text := range write(t) {
			if text != first[path] {
				t.Errorf("%s: %s", path, firstDifference(text, first[path]))
			}
		}
	}
}
