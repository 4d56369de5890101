package zkelect

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the clock of every lease: monotonic, and running on while the
// host is suspended, as the servers' clocks do. Go's own timers and
// time.Since stand still meanwhile.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("zkelect: CLOCK_BOOTTIME: " + err.Error()) // Linux since 2.6.39
	}
	return time.Duration(ts.Nano())
}
