//go:build !linux

package bench

import "syscall"

// dieWithParent does nothing here: only Linux has a signal for it.
func dieWithParent() *syscall.SysProcAttr { return nil }
