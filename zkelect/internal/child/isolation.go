//go:build unix

package child

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Isolation is what holds a tree together.
type Isolation int

// The levels. With each the tree is walked and killed as well.
const (
	IsolateAuto   Isolation = iota // a control group where this process may make one, else the walk
	IsolatePIDNS                   // a PID namespace: the tree sees pids and a /proc of its own
	IsolateCgroup                  // a control group of version 2
	IsolateNone                    // the walk over all descendants alone

	isolateInit // inside of the namespace
)

var isolations = map[Isolation]string{
	IsolateAuto: "auto", IsolatePIDNS: "pidns", IsolateCgroup: "cgroup", IsolateNone: "none", isolateInit: "init",
}

func (i Isolation) String() string {
	if s, ok := isolations[i]; ok {
		return s
	}
	return fmt.Sprintf("Isolation(%d)", int(i))
}

// GuardOptions say how a guard is started.
type GuardOptions struct {
	// Nil means descriptor 0, 1 or 2 of this process. The guard's descriptors are
	// the command's. Those above 2 that this process was started with are passed
	// on, those it opened itself are not.
	Stdin, Stdout, Stderr *os.File
	// Isolate is what is to hold the tree together.
	Isolate Isolation
	// Grace is how long a guard that is left alone waits between the stop signal
	// and KILL, unless a lease ends before.
	Grace time.Duration

	home int // the process group that lends the terminal; 0: this process's
}

// files gives the numbers of the guard's descriptors 0, 1 and 2 as they are here.
func (o GuardOptions) files() []uintptr {
	fds := make([]uintptr, 3)
	for i, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		fds[i] = uintptr(i)
		if f != nil {
			fds[i] = f.Fd()
		}
		if _, err := unix.FcntlInt(fds[i], unix.F_GETFD, 0); err != nil {
			fds[i] = ^uintptr(0) // closed: ForkExec would fail with EBADF
		}
	}
	return fds
}
