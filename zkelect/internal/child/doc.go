// Package child starts the command of a leader and ends it: the whole tree of
// processes that came from it, not only the one that was started.
//
// The main process leads a process group of its own and dies with this process
// (parent-death signal). This process becomes a child subreaper, so a daemon
// that forks twice and calls setsid comes back here when its parent dies. The
// tree is the main process and everything that came back, each with all its
// descendants. Kill walks it in /proc, kills what it finds and reaps, again and
// again until nothing is left.
//
// A command's life has two ends. Exited is closed when the main process has
// ended, Done when nothing of the tree is alive any more and all of it has been
// reaped. Done is a proof: the kernel said that this process has no child left
// (ECHILD), or, where the program has other children, a look at all processes
// during which nothing was reaped has found none that is the tree's. Between
// the two nothing happens by itself: whoever wants the rest gone calls Stop,
// and Kill after a grace of its own choice.
//
// # What is not promised
//
//   - A process in uninterruptible sleep, or one that runs as another user whom
//     this process may not signal, outlives Kill; Done stays open until it ends.
//   - When this process itself is killed, the kernel kills the main process but
//     no daemon of it. A program that is set-user-ID or has file capabilities
//     (sudo) loses the parent-death signal as it starts.
//   - Children that this program starts otherwise (os/exec) are left alone. A
//     process that comes to this one is taken for the tree's unless it or an
//     ancestor of it was here when the first tree was started, or the program
//     holds a pidfd of it, as os/exec does from fork to Wait from Linux 5.4 on.
//     So what a child of os/exec leaves behind, a child whose os.Process was
//     released, one from a bare syscall.ForkExec, and on older kernels every
//     other child may be killed with the tree. And a daemon of the tree that
//     the program holds an os.Process of is taken for the program's own.
//     As process 1 of a container this one also inherits what "docker exec" leaves.
//   - With several trees in one process, a daemon whose tree can't be told
//     belongs to each of them: no Done before it is gone, and any Kill ends it.
//   - Kill starts no thread of its own: the group is signalled by the caller,
//     the walk runs in a goroutine that is there already, and some spare threads
//     are made at the first Start. The Go runtime may still want another one,
//     for its garbage collector on a machine of many CPUs for instance.
//   - Outside Linux only the process group is ended: BestEffort is true there.
package child
