//go:build !linux

package zkelect

import "time"

var started = time.Now()

// bootTime is monotonic; whether it counts a suspended host's sleep is the
// system's choice.
func bootTime() time.Duration { return time.Since(started) + 1 }
