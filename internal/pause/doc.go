// Package pause notices that this process has stood still: SIGSTOP, a paused virtual machine, a machine
// that slept, or a processor that others kept for themselves. What waited for an answer of the
// process meanwhile may have given up, and what the process knew of others may be out of date.
//
// It does not say why the process stood still, and decides nothing.
//
// Watch.Run runs on its caller's goroutine; the package starts none.
package pause
