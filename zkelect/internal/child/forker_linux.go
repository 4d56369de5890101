package child

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// onForker runs a job on the one thread that starts what dies with it. A parent-death
// signal is sent when the *thread* that forked ends, and Go ends threads as it likes:
// so this one is locked to a goroutine that never returns. A guard has its own way.
var onForker = func(job func()) { forker().do(job) }

// jobs is what a goroutine is given to do that others wait for.
type jobs chan func()

func (c jobs) do(job func()) {
	done := make(chan struct{})
	c <- func() {
		job()
		close(done)
	}
	<-done
}

func (c jobs) serve() {
	for job := range c {
		job()
	}
}

var forker = sync.OnceValue(func() jobs {
	c := make(jobs)
	go func() {
		runtime.LockOSThread()
		c.serve()
	}()
	return c
})

// keepThreads makes some spare threads, once. At most GOMAXPROCS threads run Go code,
// few of them with something to do in so small a program; the others sit in system
// calls.
var keepThreads = sync.OnceFunc(func() { spareThreads(4 + min(runtime.GOMAXPROCS(0), 8)) })

// spareThreads leaves n idle threads with the Go runtime, which keeps them for
// ever. When the system has run out of processes no thread can be made either,
// and that is when a tree must be killed. Locked goroutines that wait for one
// another need a thread each.
func spareThreads(n int) {
	var here sync.WaitGroup
	here.Add(n)
	for range n {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			here.Done()
			here.Wait()
		}()
	}
	here.Wait()
}

// fork starts the command as the leader of a new process group, which becomes
// the foreground one of the terminal before its first instruction if tty is
// given (a descriptor of ours).
func fork(s sapling, tty int) (pid int, err error) {
	attr := &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: s.files, Sys: &syscall.SysProcAttr{
		Setpgid: true, Foreground: tty >= 0, Ctty: max(tty, 0), Cloneflags: s.isolate,
	}}
	if s.dieToo {
		attr.Sys.Pdeathsig = syscall.SIGKILL
	}
	if s.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, s.cgroup.fd
	}
	if s.isolate&unix.CLONE_NEWUSER != 0 {
		attr.Sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		attr.Sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		// Who isn't root there loses with its exec what the new namespace gave it.
		attr.Sys.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	start := func() { pid, err = syscall.ForkExec(s.Path, s.Args, attr) }
	if s.dieToo {
		onForker(start)
	} else {
		start() // in any thread: nothing hangs on which, and there is none to make
	}
	return pid, err
}
