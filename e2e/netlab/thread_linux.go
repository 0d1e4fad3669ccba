package netlab

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// within runs f on a thread that is in a namespace. A socket stays in the namespace that it was made in, whichever
// thread uses it later. f must not start goroutines that make sockets.
func within(namespace string, f func()) error {
	there, err := os.Open(namespaces + "/" + namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := os.Open("/proc/thread-self/ns/net") // any thread's, for all others are in the same
	if err != nil {
		return err
	}
	defer here.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", namespace, err)
	}
	f()
	if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("leave %s: %w", namespace, err) // still locked: the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return nil
}

// dieWithParent makes the kernel kill a child when the calling process dies, however that dies.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
