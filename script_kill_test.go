package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptKillTree kills a job with all of its descendants in one blow, as the
// death of its host would: nobody is left to say how the term ended. They are
// stopped first, so that none can act on another's death.
func scriptKillTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killtree NAME")
	}
	j := worldOf(ts).job(ts, args[0])
	stopped := map[int]bool{}
	for deadline := time.Now().Add(bound); ; {
		all := append(scriptDescendants(j.cmd.Process.Pid), j.cmd.Process.Pid)
		fresh := false
		for _, pid := range all {
			if !stopped[pid] {
				fresh, stopped[pid] = true, true
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
		if !fresh {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still new processes after %v", bound)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	select {
	case <-j.done:
	case <-time.After(bound):
		ts.Fatalf("still alive after %v", bound)
	}
}

// scriptDescendants is what came from a process, what has ended and was not
// reaped excepted.
func scriptDescendants(root int) (found []int) {
	parents := map[int]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		// The second field may hold spaces and brackets.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[0] != "Z" {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for pid := range parents {
		for p := parents[pid]; p > 1; p = parents[p] {
			if p == root {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
