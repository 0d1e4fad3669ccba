package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// namespaces is where ip keeps the names of namespaces.
const namespaces = "/run/netns"

// Check returns nil when labs can be made here. ErrNotPermitted tells what takes another user or machine from a program
// that is missing. No two calls of a process may overlap.
func Check() error {
	var missing []error
	for program, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Errorf("%s is not installed (Debian package %s)", program, pkg))
		}
	}
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	owner, err := self()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	trial := owner.prefix() + "trial-check"
	if err := ip("netns", "add", trial); err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	defer ip("netns", "delete", trial)
	if out, err := exec.Command("ip", "netns", "exec", trial, "nft", "add", "table", "inet", "lab").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: nft: %w: %s", ErrNotPermitted, err, out)
	}
	return nil
}

// ErrNotPermitted says that this user or this kernel cannot make network namespaces.
var ErrNotPermitted = errors.New("network namespaces cannot be made here")

// process names a process for good: numbers of processes are used again, but not with the same start time.
type process struct {
	pid   int
	start string // in clock ticks since the machine started
}

const mark = "netlab"

func (p process) prefix() string { return fmt.Sprintf("%s-%d-%s-", mark, p.pid, p.start) }

func self() (process, error) { return running(os.Getpid()) }

// running returns the process of that number (proc(5), /proc/pid/stat).
func running(pid int) (process, error) {
	const startTime = 20 // the field, counted from the one behind the program's name in parentheses
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < startTime {
		return process{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return process{pid: pid, start: fields[startTime-1]}, nil
}

// owner returns the process that gave something its name, or false when no lab did.
func owner(name string) (process, bool) {
	parts := strings.SplitN(name, "-", 4)
	if len(parts) < 4 || parts[0] != mark {
		return process{}, false
	}
	pid, err := strconv.Atoi(parts[1])
	return process{pid: pid, start: parts[2]}, err == nil
}

// TempDir makes a directory for what labs of this process write. The caller removes it; when the process is killed, a
// later Sweep does.
func TempDir() (string, error) {
	me, err := self()
	if err != nil {
		return os.MkdirTemp("", mark) // nothing will sweep it, but no lab can be made either
	}
	return os.MkdirTemp("", me.prefix())
}

// Sweep removes what is left of labs whose process is gone. Their programs have ended with it.
func Sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), mark+"-*"))
	errs := []error{err}
	for _, dir := range dirs {
		if abandoned(filepath.Base(dir)) {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(append(errs, remove(abandoned))...)
}

// abandoned tells whether the process that gave something its name is gone.
func abandoned(name string) bool {
	made, ok := owner(name)
	if !ok {
		return false
	}
	now, err := running(made.pid)
	return errors.Is(err, fs.ErrNotExist) || err == nil && now != made
}

// RemoveOwn removes all labs of this process, for its end by a signal. The programs end with the process.
func RemoveOwn() error {
	me, err := self()
	if err != nil {
		return err
	}
	return remove(func(name string) bool { return strings.HasPrefix(name, me.prefix()) })
}

// remove deletes namespaces, and with them their ends of the links.
func remove(which func(name string) bool) error {
	entries, err := os.ReadDir(namespaces)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if !which(e.Name()) {
			continue
		}
		if err := ip("netns", "delete", e.Name()); err != nil {
			// Another process may sweep at the same time.
			if _, gone := os.Stat(namespaces + "/" + e.Name()); !errors.Is(gone, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
