package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// memory is what a process holds, in kB.
type memory struct {
	resident int // shared pages, such as those of the binary, too
	private  int // what its end would give back
}

// memoryOf adds up what the kernel says of a process's mappings.
func memoryOf(tb testing.TB, pid int) (m memory) {
	tb.Helper()
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(rollup)) {
		var name string
		var kB int
		if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kB); n < 2 {
			continue
		}
		switch name {
		case "Rss:":
			m.resident = kB
		case "Private_Clean:", "Private_Dirty:":
			m.private += kB
		}
	}
	return m
}

// guardOf is the process of an elector that guards its child, 0 without one.
func guardOf(elector int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", elector))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			cmdline, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if name, _, _ := strings.Cut(string(cmdline), "\x00"); name == "zkelect-guard" {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	return 0
}

// binary is the zkelect that make has built, as a process.
type binary struct{ *exec.Cmd }

// startBinary runs zkelect until its log says that it has come so far.
func startBinary(b testing.TB, servers, says string, flags ...string) binary {
	b.Helper()
	return startProgram(b, "bin/zkelect", servers, says, flags...)
}

func startProgram(b testing.TB, program, servers, says string, flags ...string) binary {
	b.Helper()
	args := slices.Concat([]string{"run", "--servers", servers, "--path", "/jobs/e"}, flags, []string{"--", "sleep", "300"})
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatalf("%v; run: make build", err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), says) {
			go func() { // nobody waits for a reader
				for lines.Scan() {
				}
			}()
			return binary{cmd}
		}
	}
	b.Fatalf("the log ends without %q: %v", says, cmd.Wait())
	return binary{}
}

func (p binary) end() {
	_ = p.Process.Signal(syscall.SIGTERM) // fails only where it has ended
	_ = p.Wait()                          // by that signal
}

// TestWaiterIsSmall: what a waiter in the middle of a queue holds resident, with what is
// mapped of the program: see package resident.
func TestWaiterIsSmall(t *testing.T) {
	t.Parallel()
	const most = 8 << 10
	servers := zktest.Shared(t).Chroot(t)
	leader := startBinary(t, servers, "msg=started")
	defer leader.end()
	var waiters []binary
	for range 3 {
		w := startBinary(t, servers, "msg=waiting")
		defer w.end()
		waiters = append(waiters, w)
	}
	var held memory
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if held = memoryOf(t, waiters[1].Process.Pid); held.resident <= most {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it holds %d kB, want at most %d", held.resident, most)
		}
	}
	time.Sleep(12 * time.Second) // in which it pings
	held = memoryOf(t, waiters[1].Process.Pid)
	t.Logf("a waiter holds %d kB resident, %d of them its own", held.resident, held.private)
	if held.resident > most {
		t.Errorf("want at most %d kB", most)
	}
	if guardOf(waiters[1].Process.Pid) != 0 {
		t.Error("it has a guard, though it is not the next")
	}
}

// BenchmarkMemory measures what elector and guard hold together while leading,
// and a waiter, as users run them. Medians, in kB.
func BenchmarkMemory(b *testing.B) {
	const rounds = 5
	samples := map[string][]memory{}
	for b.Loop() {
		for range rounds {
			servers := zktest.Shared(b).Chroot(b)
			leader := startBinary(b, servers, "msg=started")
			waiter := startBinary(b, servers, "msg=waiting")
			time.Sleep(2 * time.Second) // for what comes after the start
			elector := memoryOf(b, leader.Process.Pid)
			samples["elector"] = append(samples["elector"], elector)
			samples["waiter"] = append(samples["waiter"], memoryOf(b, waiter.Process.Pid))
			if pid := guardOf(leader.Process.Pid); pid != 0 {
				guard := memoryOf(b, pid)
				samples["guard"] = append(samples["guard"], guard)
				samples["leading"] = append(samples["leading"], memory{elector.resident + guard.resident, elector.private + guard.private})
			}
			waiter.end()
			leader.end()
		}
	}
	if len(samples["guard"]) == 0 {
		b.Log("no guard")
	}
	for who, held := range samples {
		b.ReportMetric(middle(held, func(m memory) int { return m.resident }), who+"-resident-kB")
		b.ReportMetric(middle(held, func(m memory) int { return m.private }), who+"-private-kB")
	}
}

// middle is the median.
func middle(held []memory, of func(memory) int) float64 {
	var values []int
	for _, m := range held {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return float64(values[len(values)/2])
}
