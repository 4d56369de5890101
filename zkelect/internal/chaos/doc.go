// Package chaos holds the program to its promise while everything around it
// breaks: several elections at once, real contenders and servers, each on a host
// of its own, and a schedule of faults drawn from a seed that is printed.
//
//	make chaos                              # about two minutes
//	CHAOS_FOR=30m CHAOS_SEED=7 make chaos   # a long one, the faults of seed 7
//
// It is no part of the program, which never imports it. TestPromise is the
// short run, TestBrokenBuildsAreCaught shows that the checks bite.
//
// # The world (inside_linux.go, wires_linux.go)
//
// The run happens in namespaces of processes, mounts and network, so that whatever
// ends it, nothing is left: the kernel ends all processes and with them go all
// links, routes and files. Each contender and each ZooKeeper server is a host: a
// network namespace with one cable (veth) to a router, the namespace of the harness.
// A cut is a routing rule there that swallows packets without a word, for one
// direction or both, between two hosts or around one. A slow link is a queue that
// lets a few bytes a second pass, a reset the kernel's end of the sockets. An
// ordinary user gets the same in a user namespace where the system allows it.
// Where it does not, all run on the loopback without the faults of the network,
// which the report then names as left out.
//
// # What runs (contender_linux.go, worker/)
//
// The contenders are the real binary. Their command is worker/: it forks,
// daemonises and ignores TERM as told. Every one of its processes stamps its life on
// CLOCK_BOOTTIME, one clock for all processes of the machine, into a file of its
// own, and keeps a connection to the harness open, which the kernel closes at its
// death.
//
// # What is checked (census_linux.go, eyes_linux.go), by name
//
//	overlap    two trees of one election alive at once
//	outlived   a process of a tree alive after the servers had deleted the term's
//	           node in the queue or its live, by no hand of ours
//	token      fencing tokens that do not rise strictly
//	queue      nobody leads within a bound after the faults are over
//	leftover   a process of an earlier term, or any at the end
//	panic      what no zkelect may ever write
//	exit       an exit code for which there is no reason
//
// Each is proved, never guessed, so that load alone gives no false alarm. That a
// process is alive is asked of the kernel (pidfd), at the moment when another's
// start or a node's deletion is learned of: what is alive then was so before. The
// stamps are compared at the end, and the trees hand on a lock which the kernel
// drops with the last of them. What this can miss is an overlap shorter than the way of
// the news, a few milliseconds on an idle machine; the lock has no such gap.
// The deletion is watched by three sessions, one pinned to each server, that no
// fault of the network touches; the first to tell counts.
//
// # What is spared, since it is known and documented
//
// Elector and guard killed or stopped in one blow leave daemonised descendants
// alive unless the tree is in a PID namespace. So these two faults strike
// only the elections whose trees are of one process, or isolated, and elsewhere no
// term is struck twice at elector or guard. And nobody deletes both nodes of one term
// by hand: if its leader is cut off then, nothing tells the next one of it.
package chaos
