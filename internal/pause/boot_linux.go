package pause

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns the time since the machine started, sleep included.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
