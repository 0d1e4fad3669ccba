package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine says what the table was measured on.
func (b *bench) machine() []string {
	sizes := "full sizes"
	if b.quick {
		sizes = "quick sizes, only to see that everything works: the figures mean nothing"
	}
	return []string{
		fmt.Sprintf("%s, %d cores (%s), %s, %s/%s, %s", time.Now().Format(time.DateOnly), runtime.NumCPU(),
			procLine("/proc/cpuinfo", "model name"), memory(), runtime.GOOS, runtime.GOARCH, b.programs.goVersion),
		fmt.Sprintf("A 4 KiB write and fsync takes %s (median of %d); %d files may be open; load average before: %s",
			b.syncTime(), syncs, b.files, loadAverage()),
		fmt.Sprintf("Runs: %d, %s", b.sizes.runs, sizes),
	}
}

func procLine(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	var kb float64
	if _, err := fmt.Sscanf(procLine("/proc/meminfo", "MemTotal"), "%f kB", &kb); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", kb/(1<<20))
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

const syncs = 100

// syncTime is what the disk under the data asks for a commit.
func (b *bench) syncTime() string {
	path := filepath.Join(b.dir, "sync")
	f, err := os.Create(path)
	if err != nil {
		return err.Error()
	}
	defer os.Remove(path)
	defer f.Close()
	var took []float64
	page := make([]byte, 4*kibibyte)
	for range syncs {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return err.Error()
		}
		if err := f.Sync(); err != nil {
			return err.Error()
		}
		took = append(took, time.Since(start).Seconds())
	}
	return inSeconds.format(median(took))
}
