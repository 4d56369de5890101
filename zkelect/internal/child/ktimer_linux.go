package child

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ktimer is a timer of the kernel that kills this process with KILL when it is
// over. It does so while the process is stopped or its runtime is stuck, which no
// timer of Go's does. It is gone with an exec, and no child inherits it.
type ktimer struct {
	id    int32
	armed bool
}

// sigevent is struct sigevent of <linux/time.h>, which has 64 bytes.
type sigevent struct {
	value  uintptr
	signo  int32
	notify int32
	_      [64 - unsafe.Sizeof(uintptr(0)) - 8]byte
}

// newKtimer makes a timer on a clock that isn't armed yet.
func newKtimer(clock int) (*ktimer, error) {
	t := &ktimer{}
	ev := sigevent{signo: int32(syscall.SIGKILL)} // notify 0: SIGEV_SIGNAL
	_, _, no := unix.Syscall(unix.SYS_TIMER_CREATE, uintptr(clock), uintptr(unsafe.Pointer(&ev)), uintptr(unsafe.Pointer(&t.id)))
	if no != 0 {
		return nil, no
	}
	return t, nil
}

// set moves the end to an instant of the clock; 0 disarms. A nil timer, on a
// kernel that has none, does nothing.
func (t *ktimer) set(at time.Duration) {
	if t == nil || at == 0 && !t.armed {
		return
	}
	const absolute = 1 // TIMER_ABSTIME
	spec := [4]int64{0, 0, int64(at / time.Second), int64(at % time.Second)}
	if unsafe.Sizeof(uintptr(0)) == 4 {
		short := [4]int32{0, 0, int32(spec[2]), int32(spec[3])}
		_, _, _ = unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(t.id), absolute, uintptr(unsafe.Pointer(&short)), 0, 0, 0)
	} else {
		_, _, _ = unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(t.id), absolute, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	}
	t.armed = at != 0
}

// remove gives the timer back to the kernel, which counts them against the user's
// limit of pending signals.
func (t *ktimer) remove() {
	if t != nil {
		_, _, _ = unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(t.id), 0, 0)
	}
}

// bootTime is the clock of all deadlines: monotonic, and it counts suspend.
func bootTime() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

func clock(id int32) time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano())
}
