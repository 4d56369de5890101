package chaos

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// A contender is one zkelect on a host of its own, started again whenever it
// ends.
type contender struct {
	host     *host
	election int
	index    int
	cfg      *Config
	servers  string
	rnd      *rand.Rand
	blame    func(check string, election int, format string, args ...any)
	ended    func(*contender, syscall.WaitStatus)

	mu      sync.Mutex
	cmd     *exec.Cmd // nil while it is down
	slowed  bool
	stopped bool // for good
	over    chan struct{}
	lives   []span // of the elector, for the timeline
}

// A span is from one moment to another; an end of 0 is not yet.
type span struct{ from, to int64 }

func (c *contender) name() string { return c.host.name }

// log is the file with all that it wrote.
func (c *contender) log() string { return filepath.Join(c.cfg.Out, c.name()+".log") }

// clock is the file that steps the wall clock of a clocked binary.
func (c *contender) clock() string { return filepath.Join(c.cfg.Dir, "clock-"+c.name()) }

// run keeps it running until stop.
func (c *contender) run() {
	defer close(c.over)
	for {
		cmd, err := c.launch()
		if err != nil {
			c.blame("harness", c.election, "start %s: %v", c.name(), err)
			return
		}
		if cmd == nil {
			return
		}
		_ = cmd.Wait()
		c.mu.Lock()
		c.cmd = nil
		c.lives[len(c.lives)-1].to = zktest.Stamp()
		c.mu.Unlock()
		c.ended(c, cmd.ProcessState.Sys().(syscall.WaitStatus))
		time.Sleep(300 * time.Millisecond)
	}
}

// launch starts it; nil once it is stopped.
func (c *contender) launch() (*exec.Cmd, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, nil
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	program := c.cfg.Binary
	if c.cfg.Clocked != "" && c.index == c.cfg.clocked() {
		program = c.cfg.Clocked
	}
	cmd := exec.Command(program, c.args()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(environment(), "CHAOS_CLOCK="+c.clock())
	if err := c.host.start(cmd); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "--- %.3f started as pid %d: %s\n", float64(zktest.Stamp())/1e9, cmd.Process.Pid, strings.Join(cmd.Args, " "))
	c.cmd = cmd
	c.lives = append(c.lives, span{from: zktest.Stamp()})
	return cmd, nil
}

// environment is ours without what steers a zkelect, or this harness.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "ZKELECT_") || strings.HasPrefix(v, "CHAOS_")
	})
}

func (c *contender) args() []string {
	e := c.cfg.Elections[c.election]
	args := []string{"run", "-s", c.servers, "-p", e.Path, "--recipe", cmp.Or(e.Recipe, "latch"), "--id", c.name(),
		"--session-timeout", e.Session.String(), "--stop-timeout", "600ms",
		"--requeue", "always", "--requeue-delay", "200ms"}
	chance := func(p float64) bool { return !c.cfg.Plain && c.rnd.Float64() < p }
	if e.Nature == isolated {
		args = append(args, "--isolate=pidns")
	} else if chance(0.5) {
		args = append(args, "--isolate=none") // the walk, not the control group
	}
	switch {
	case chance(0.3):
		args = append(args, "--on-suspend", "freeze")
	case chance(0.4):
		args = append(args, "--on-suspend", "kill")
	}
	if chance(0.25) {
		args = append(args, "--takeover-delay", "auto")
	}
	if chance(0.25) {
		// It is the term's as the command is, and as much of a tree.
		args = append(args, "--fence", c.cfg.Worker+" -dir "+c.cfg.Dir+" -role fence -for 200ms")
	}
	args = append(args, "--", c.cfg.Worker, "-dir", c.cfg.Dir)
	switch {
	case e.Nature != single:
		args = append(args, "-forks", fmt.Sprint(c.rnd.IntN(2)), "-daemons", fmt.Sprint(1+c.rnd.IntN(2)), "-ignore")
	case chance(0.4):
		args = append(args, "-ignore")
	case chance(0.4):
		args = append(args, "-linger", "200ms")
	}
	if chance(0.25) {
		args = append(args, "-for", fmt.Sprintf("%dms", 2000+c.rnd.IntN(4000)))
	}
	return args
}

// pid is the elector's, 0 while it is down.
func (c *contender) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// signal signals the elector, if there is one.
func (c *contender) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(s) // it may just have ended
	}
}

// stop ends it for good: politely, then not.
func (c *contender) stop(patience time.Duration) {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.over:
		return
	case <-time.After(patience):
	}
	c.blame("leftover", c.election, "%s lives %v after TERM", c.name(), patience)
	c.signal(syscall.SIGKILL)
	<-c.over
}

// guard is the pid of the elector's guard, 0 where there is none.
func (c *contender) guard() int { return childNamed(c.pid(), "zkelect-guard") }

// childNamed is the child of a process with that argv[0].
func childNamed(pid int, name string) int {
	if pid == 0 {
		return 0
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(b)) {
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if argv0, _, _ := bytes.Cut(line, []byte{0}); string(argv0) == name {
				n, _ := strconv.Atoi(child)
				return n
			}
		}
	}
	return 0
}

// unheardOf is what no zkelect may ever write, if it has.
func (c *contender) unheardOf() string {
	b, _ := os.ReadFile(c.log())
	for _, bad := range []string{"DATA RACE", "panic:", "goroutine ", "runtime error", "\nworker: "} {
		if i := bytes.Index(b, []byte(bad)); i >= 0 {
			return string(b[i:min(len(b), i+400)])
		}
	}
	return ""
}

// kill signals a process that is not our child; one that is gone is no error.
func kill(pid int, s syscall.Signal) {
	if pid > 0 {
		_ = unix.Kill(pid, s)
	}
}
