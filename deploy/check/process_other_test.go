//go:build !linux

package check

import "syscall"

// dieWithParent does nothing here: only Linux has a signal for it. Children end with their test.
func dieWithParent() *syscall.SysProcAttr { return nil }
