package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"zkelect/zkelect/zktest"
)

// patience bounds each wait for something that is to come soon. A session's end is
// waited for much longer than it takes as well.
const patience = 60 * time.Second

// start starts a command that the kernel kills when this process dies.
func start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	if err := zktest.StartHere(cmd); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	return nil
}

// process is a contender that runs.
type process struct {
	cmd  *exec.Cmd
	said bytes.Buffer // to be read after done
	done chan struct{}
}

func (b *bench) launch(argv []string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = b.env
	// A file, not a pipe: what the process leaves behind would hold that open.
	out, err := os.CreateTemp(b.dir, "out-")
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	err = start(p.cmd)
	if err != nil {
		return nil, errors.Join(err, out.Close(), os.Remove(out.Name()))
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its state
		text, _ := os.ReadFile(out.Name())
		p.said.Write(text)
		out.Close()
		_ = os.Remove(out.Name())
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends it by SIGKILL, alone, as if it had crashed.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // fails only where it has ended

// await asks until something holds.
func await(what string, bound time.Duration, holds func() (bool, error)) error {
	for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		ok, err := holds()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", bound, what)
		}
	}
}

// alive tells whether a process has not ended; one that nobody has reaped has.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(stat, ')')
	return err == nil && i > 0 && i+2 < len(stat) && stat[i+2] != 'Z'
}

// children are the pids of a process's children, of all its threads.
func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// descends tells whether a process is one of another's descendants.
func descends(pid, of int) bool {
	for pid > 1 && pid != of {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return false
		}
		pid = int(field(status, "PPid:"))
	}
	return pid == of
}

// memory is what processes hold together, in kB.
type memory struct {
	resident, private, peak float64
	processes               int
}

// memoryOf adds up what a tree of processes holds, but for one branch of it.
func memoryOf(pid, but int) (m memory) {
	if pid == but {
		return m
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil { // it has just ended
		return m
	}
	m.processes = 1
	m.resident = field(rollup, "Rss:")
	m.private = field(rollup, "Private_Clean:") + field(rollup, "Private_Dirty:")
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m.peak = field(status, "VmHWM:")
	for _, child := range children(pid) {
		c := memoryOf(child, but)
		m.resident += c.resident
		m.private += c.private
		m.peak += c.peak
		m.processes += c.processes
	}
	return m
}

// field is the number after a name in one of the kernel's tables.
func field(table []byte, name string) float64 {
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return 0
}

// cpuOf is the CPU time that a process has used, with that of its children that have ended.
func cpuOf(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for i := 11; i <= 14 && i < len(f); i++ { // utime, stime, cutime, cstime
		n, _ := strconv.Atoi(f[i])
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
