package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A host is a network namespace with one cable to the router, which is the
// namespace that this process is in. It lives in a thread, so it is gone with
// the last process in it, whatever happens.
type host struct {
	name  string
	ip    string // "" on the loopback, where a host is only a name
	cable string // the router's end
	forks chan func()
	wires *wires
}

// wires are all hosts and what has been done to their cables.
type wires struct {
	real bool // else all hosts are this one

	mu    sync.Mutex
	hosts int
	rules int
}

const (
	inner  = "e0" // a host's end of its cable
	subnet = "10.77"
)

// newWires prepares the router; the hosts come later.
func newWires(real bool) (*wires, error) {
	w := &wires{real: real}
	if !real {
		return w, nil
	}
	if err := run("ip", "link", "set", "dev", "lo", "up"); err != nil {
		return nil, err
	}
	return w, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// add makes a host and plugs it in.
func (w *wires) add(name string) (*host, error) {
	w.mu.Lock()
	w.hosts++
	n := w.hosts
	w.mu.Unlock()
	h := &host{name: name, wires: w, forks: make(chan func())}
	made := make(chan error)
	tid := 0
	go func() {
		// Never unlocked: the namespace is this thread's alone. And the
		// parent-death signal of what it starts is bound to a thread that lives
		// as long as the process.
		runtime.LockOSThread()
		var err error
		if w.real {
			err = unix.Unshare(unix.CLONE_NEWNET)
		}
		tid = unix.Gettid()
		made <- err
		for f := range h.forks {
			f()
		}
	}()
	if err := <-made; err != nil || !w.real {
		return h, err
	}
	h.ip, h.cable = fmt.Sprintf("%s.%d.2", subnet, n), fmt.Sprintf("v%d", n)
	router := fmt.Sprintf("%s.%d.1", subnet, n)
	for _, step := range []struct {
		inside bool
		args   []string
	}{
		{false, []string{"link", "add", h.cable, "type", "veth", "peer", "name", inner, "netns", fmt.Sprint(tid)}},
		{false, []string{"addr", "add", router + "/24", "dev", h.cable}},
		{false, []string{"link", "set", "dev", h.cable, "up"}},
		{true, []string{"link", "set", "dev", "lo", "up"}},
		{true, []string{"addr", "add", h.ip + "/24", "dev", inner}},
		{true, []string{"link", "set", "dev", inner, "up"}},
		{true, []string{"route", "add", "default", "via", router}},
	} {
		do := run
		if step.inside {
			do = h.run
		}
		if err := do("ip", step.args...); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// start starts a command on the host. It dies with this process.
func (h *host) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	h.forks <- func() { started <- cmd.Start() }
	return <-started
}

// run runs a tool on the host.
func (h *host) run(name string, args ...string) error {
	return tool(h.start, name, args...)
}

// run runs a tool on the router.
func run(name string, args ...string) error {
	return tool((*exec.Cmd).Start, name, args...)
}

func tool(start func(*exec.Cmd) error, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// swallow makes the router swallow packets that match, such as "from A to B",
// without a word, until heal is called.
func (w *wires) swallow(matches ...[]string) (heal func() error, err error) {
	w.mu.Lock()
	w.rules++
	pref := fmt.Sprint(w.rules) // before all rules of the system
	w.mu.Unlock()
	for _, match := range matches {
		args := append([]string{"rule", "add", "pref", pref}, match...)
		if err := run("ip", append(args, "blackhole")...); err != nil {
			return nil, err
		}
	}
	return func() error {
		for range matches {
			if err := run("ip", "rule", "del", "pref", pref); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// cut cuts a host's own cable: what it sends, what it is sent, or both.
func (h *host) cut(up, down bool) (heal func() error, err error) {
	var matches [][]string
	if up {
		matches = append(matches, []string{"from", h.ip})
	}
	if down {
		matches = append(matches, []string{"to", h.ip})
	}
	return h.wires.swallow(matches...)
}

// part cuts a host off from others, while all else still reaches it.
func (h *host) part(others []*host) (heal func() error, err error) {
	var matches [][]string
	for _, o := range others {
		matches = append(matches, []string{"from", h.ip, "to", o.ip}, []string{"from", o.ip, "to", h.ip})
	}
	return h.wires.swallow(matches...)
}

// slow lets no more than so many bytes a second through, each way: what comes
// faster waits, seconds in the end, and what finds no room is lost.
func (h *host) slow(bytesPerSecond int) (heal func() error, err error) {
	args := func(dev string) []string {
		return []string{"qdisc", "add", "dev", dev, "root", "tbf", "rate", fmt.Sprintf("%dbps", bytesPerSecond),
			"burst", "1600", "limit", fmt.Sprint(4*bytesPerSecond + 3200)}
	}
	if err := run("tc", args(h.cable)...); err != nil {
		return nil, err
	}
	if err := h.run("tc", args(inner)...); err != nil {
		return nil, err
	}
	return func() error {
		if err := run("tc", "qdisc", "del", "dev", h.cable, "root"); err != nil {
			return err
		}
		return h.run("tc", "qdisc", "del", "dev", inner, "root")
	}, nil
}

// reset ends all connections of the host, on its own side at once and by RST on
// the other.
func (h *host) reset() error { return h.run("ss", "-H", "-K", "dst", subnet+".0.0/16") }

// lacking tries what the kernel may have been built without and says what is.
func (h *host) lacking() map[kind]string {
	lacks := map[kind]string{}
	if heal, err := h.slow(1000); err != nil {
		lacks[slowLink] = err.Error()
	} else if err := heal(); err != nil {
		lacks[slowLink] = err.Error()
	}
	if err := h.reset(); err != nil {
		lacks[reset] = err.Error()
	}
	return lacks
}
