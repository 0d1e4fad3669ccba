// Package pause notices that this process has stood still: SIGSTOP, a paused virtual machine, a machine
// that slept, or a processor that others kept for themselves. Who waited for the process meanwhile may
// have given up, and what the process knew of others may be out of date.
//
// It does not say why the process stood still, and decides nothing.
//
// Watch.Run owns the only goroutine, which is its caller's.
package pause
