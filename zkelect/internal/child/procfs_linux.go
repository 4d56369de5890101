package child

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ident names a process for good: its number may be used again, together with
// the time it was started at it is not.
type ident struct {
	pid   int
	start uint64 // clock ticks since boot
}

// proc is one process as /proc/PID/stat shows it.
type proc struct {
	ident
	ppid, pgid int
	state      byte   // 'Z' ended and not reaped, 'T' stopped
	unborn     bool   // it has not executed a program since it was forked
	stack      uint64 // where its stack was when its program began; 0 if that is hidden
}

// procfs reads processes below root, which is /proc except in tests.
type procfs struct {
	root string

	// hasChildren says whether the kernel lists a thread's children
	// (CONFIG_PROC_CHILDREN): then a walk costs the size of the tree, else the
	// number of processes on the system.
	hasChildren func() bool
}

func newProcfs(root string) *procfs {
	return &procfs{root: root, hasChildren: sync.OnceValue(func() bool {
		_, err := os.Stat(root + "/thread-self/children")
		return err == nil
	})}
}

// stat reads one process; false if it is gone.
func (fs *procfs) stat(pid int) (proc, bool) {
	fd, err := unix.Open(fs.root+"/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return proc{}, false
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return proc{}, false // ended between open and read
	}
	return parseStat(pid, buf[:n])
}

// forkedNoExec is the kernel's PF_FORKNOEXEC (include/linux/sched.h).
const forkedNoExec = 0x40

// parseStat understands "PID (NAME) STATE PPID PGRP …", in which NAME may hold
// anything, blanks and brackets too; the 9th field is the kernel's flags, the 22nd the
// start time, the 28th the stack.
func parseStat(pid int, line []byte) (proc, bool) {
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return proc{}, false
	}
	p := proc{ident: ident{pid: pid}, state: fields[0][0]}
	var errs [3]error
	p.ppid, errs[0] = strconv.Atoi(string(fields[1]))
	p.pgid, errs[1] = strconv.Atoi(string(fields[2]))
	flags, _ := strconv.ParseUint(string(fields[6]), 10, 64)
	p.unborn = flags&forkedNoExec != 0
	p.start, errs[2] = strconv.ParseUint(string(fields[19]), 10, 64)
	if len(fields) > 25 {
		p.stack, _ = strconv.ParseUint(string(fields[25]), 10, 64)
	}
	return p, errs == [3]error{}
}

// isPending says whether a signal waits for a process, not for one of its threads.
func (fs *procfs) isPending(pid int, sig syscall.Signal) bool {
	status, _ := os.ReadFile(fs.root + "/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := bytes.Cut(status, []byte("\nShdPnd:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	set, err := strconv.ParseUint(string(line), 16, 64)
	return err == nil && set>>(sig-1)&1 == 1
}

// below lists the descendants of a process, parents before their children. It
// is quick and may miss one that is born or handed on during the walk.
func (fs *procfs) below(self int) []proc {
	if !fs.hasChildren() {
		return fs.scan(self)
	}
	seen := map[int]bool{self: true}
	var list []proc
	for next, parent := 0, self; ; next++ {
		for _, pid := range fs.children(parent) {
			if p, ok := fs.stat(pid); ok && !seen[pid] {
				seen[pid] = true
				p.ppid = parent // where it was found, should it have moved since
				list = append(list, p)
			}
		}
		if next == len(list) {
			return list
		}
		parent = list[next].pid
	}
}

// scan is below by way of every process on the system. What is a child of self
// from before to after the scan is always found: the kernel lists processes by
// number, and neither number nor parent changes while self, alive, does not reap.
func (fs *procfs) scan(self int) []proc {
	kids := map[int][]proc{}
	for _, pid := range numbers(fs.names("")) {
		if p, ok := fs.stat(pid); ok {
			kids[p.ppid] = append(kids[p.ppid], p)
		}
	}
	var list []proc
	for next, parent := 0, self; ; next++ {
		list = append(list, kids[parent]...)
		delete(kids, parent) // numbers reused during the scan could close a ring
		if next == len(list) {
			return list
		}
		parent = list[next].pid
	}
}

// children reads the lists of all threads of a process.
func (fs *procfs) children(pid int) []int {
	var kids []int
	for _, tid := range fs.names(strconv.Itoa(pid) + "/task") {
		text, err := os.ReadFile(fs.root + "/" + strconv.Itoa(pid) + "/task/" + tid + "/children")
		if err == nil {
			kids = append(kids, numbers(strings.Fields(string(text)))...)
		}
	}
	return kids
}

// pidfds returns the processes of which this process has a pidfd open.
func (fs *procfs) pidfds() map[int]bool {
	held := map[int]bool{}
	for _, fd := range fs.names("self/fd") {
		// Only the fdinfo of a pidfd has this field. It is -1 once reaped.
		info, err := os.ReadFile(fs.root + "/self/fdinfo/" + fd)
		if err != nil {
			continue
		}
		if _, rest, ok := strings.Cut(string(info), "\nPid:\t"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
				held[pid] = true
			}
		}
	}
	return held
}

// names lists a directory below the root, unsorted; nothing if it is gone.
func (fs *procfs) names(dir string) []string {
	d, err := os.Open(fs.root + "/" + dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return names
}

func numbers(names []string) []int {
	var out []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			out = append(out, n)
		}
	}
	return out
}
