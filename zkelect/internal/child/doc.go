// Package child starts the command of a leader and ends it: the whole tree of
// processes that came from it, not only the one that was started. It knows no
// ZooKeeper.
//
// The processes are these:
//
//	owner       the program that uses this package
//	└─ guard    the same program started again, as zkelect-guard
//	   └─ [init]   only with a PID namespace: once more, as zkelect-init
//	      └─ command, with its tree
//
// The guard is the command's parent. It is in a group of its own, takes none of the
// signals meant for the owner, and outlives it. The two are joined by a socket: over
// it go what is to be done, the deadlines of the lease, and what became of the
// command. The end of the file means that the owner is dead. Then the guard sends
// the stop signal, waits for the grace, kills, and executes the owner's will: it
// becomes the program again under the name that the will gives, with the data that
// it gives to be read. A deadline that passes without word from the owner ends the
// tree too. If the guard dies, the kernel kills the command (parent-death signal)
// and the owner kills the rest. If either stands still, a timer of the kernel's
// kills it with KILL soon after the lease that it knows is over.
//
// # How a tree is ended
//
// Guard and owner are child subreapers, so a daemon that forks twice and calls
// setsid comes back to the guard when its parent dies, and to the owner when the
// guard has died. The tree is the main process and everything that came back, each
// with all its descendants. Kill writes to the control group's cgroup.kill where
// there is one, kills the init of the namespace where there is one, and in any case
// walks the tree in /proc, kills what it finds and reaps, again and again until
// nothing is left.
//
// A command's life has two ends. Exited is closed when the main process has ended,
// Done when nothing of the tree is alive any more and all of it has been reaped.
// Done is a proof: the kernel said that the guard has no child left (ECHILD), or,
// where the guard has died, the same of the owner; or, where the owner's program has
// other children, a look at all processes during which nothing was reaped has found
// none that is the tree's. Between the two nothing happens by itself: whoever wants
// the rest gone calls Stop, and Kill after a grace of its own choice.
//
// # What is not promised
//
//   - Guard and owner killed, or stopped for longer than the lease, in one blow: the
//     kernel kills the main process, but daemons of it live on, unless a PID namespace
//     holds them.
//   - A process in uninterruptible sleep, or one that runs as another user whom
//     this process may not signal, outlives Kill; Done stays open until it ends. A
//     program that is set-user-ID or has file capabilities (sudo) loses the
//     parent-death signal as it starts.
//   - Children that the owner's program starts otherwise (os/exec) are left alone. A
//     process that comes to the owner is taken for a guard's unless it or an
//     ancestor of it was here when the first guard was started, or the program
//     holds a pidfd of it, as os/exec does from fork to Wait from Linux 5.4 on.
//     So, when a guard was killed, what a child of os/exec leaves behind, a child
//     whose os.Process was released, one from a bare syscall.ForkExec, and on older
//     kernels every other child may be killed with the tree.
//     As process 1 of a container the owner also inherits what "docker exec" leaves.
//   - With several guards in one program, a daemon whose guard died and can't be told
//     belongs to each of them: no end before it is gone, and any Kill ends it.
//   - In a PID namespace a command that does not get the terminal from the start, as
//     in a pipeline, stays stopped when it reads from it.
//   - Kill starts no thread of its own: the guard makes some spare threads before it
//     starts the command, the owner soon after, so that a short one doesn't wait for
//     them. The Go runtime may still want another one, for its garbage collector on a
//     machine of many CPUs for instance.
//   - Outside Linux there is no guard, and only the process group is ended: BestEffort
//     is true there.
package child
