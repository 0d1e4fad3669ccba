//go:build !linux

package pause

import "time"

// sinceBoot returns 0: the wall clock has to do.
func sinceBoot() time.Duration { return 0 }
