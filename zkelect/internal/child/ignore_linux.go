package child

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction, which has no more than this.
type sigaction struct {
	handler uintptr
	_       [3]uintptr
	_       [2]uint64
}

// setIgnored ignores a signal behind the back of Go's runtime. A child that the runtime
// forks resets it, as each signal that the runtime catches.
func setIgnored(s syscall.Signal) {
	const ignore, setSize = 1, 8 // SIG_IGN
	act := sigaction{handler: ignore}
	_, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&act)), 0, setSize, 0, 0)
	if no != 0 && !signal.Ignored(s) { // MIPS has a larger set, and another structure
		signal.Notify(make(chan os.Signal, 1), s)
	}
}
