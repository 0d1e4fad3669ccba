package daemon

import (
	"testing"

	"go.uber.org/goleak"
)

// memberlist's Shutdown does not wait for all of its goroutines: those that probe end with their
// timeouts.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).pushPullNode"))
}
