//go:build !linux

package netlab

import "syscall"

func within(string, func()) error { return ErrNotPermitted }

func dieWithParent() *syscall.SysProcAttr { return nil }
