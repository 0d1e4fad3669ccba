package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// parseCPU reads utime and stime, fields 14 and 15, from the text of /proc/PID/stat. The name in field 2 may hold spaces
// and brackets, so fields count from behind it.
func parseCPU(stat string) (time.Duration, error) {
	const first = 3 // the field behind the name
	end := strings.LastIndex(stat, ") ")
	if end < 0 {
		return 0, fmt.Errorf("no name in %q", stat)
	}
	fields := strings.Fields(stat[end+2:])
	if len(fields) <= 15-first {
		return 0, fmt.Errorf("%d fields in %q", len(fields), stat)
	}
	var ticks int64
	for _, field := range fields[14-first : 16-first] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// resident is the memory of a process, in bytes.
type resident struct {
	all  float64 // VmRSS
	file float64 // of it, pages of mapped files: the program, and a replica's log
}

// parseResident reads the text of /proc/PID/status.
func parseResident(status string) (resident, error) {
	var r resident
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		var to *float64
		switch name {
		case "VmRSS":
			to = &r.all
		case "RssFile":
			to = &r.file
		default:
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return r, fmt.Errorf("read %s: %w", name, err)
		}
		*to = float64(n) * kibibyte
	}
	if r.all == 0 {
		return r, errors.New("no VmRSS: has the process ended?")
	}
	return r, nil
}

func readProc(pid int, file string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return "", fmt.Errorf("read what a process uses: %w", err)
	}
	return string(text), nil
}

func (p *process) cpu() (time.Duration, error) {
	text, err := readProc(p.pid(), "stat")
	if err != nil {
		return 0, err
	}
	return parseCPU(text)
}

func (p *process) resident() (resident, error) {
	text, err := readProc(p.pid(), "status")
	if err != nil {
		return resident{}, err
	}
	return parseResident(text)
}

// ownCPU is what this process, the load, has used.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read own CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// raiseFiles allows as many open files as this process may have, and returns how many.
func raiseFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise the limit of open files: %w", err)
	}
	return int(min(limit.Max, 1<<30)), nil
}
