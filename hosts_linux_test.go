package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// hostThread starts processes in namespaces of its own. They are those of a thread,
// so that they are gone with the last process in them, whatever happens.
type hostThread struct {
	tid   int
	forks chan func()
}

// newHostThread makes the namespaces, and does what prepares them from within.
func newHostThread(t testing.TB, namespaces int, prepare func() error) *hostThread {
	t.Helper()
	h := &hostThread{forks: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		h.tid = unix.Gettid()
		err := unix.Unshare(namespaces)
		if err == nil && prepare != nil {
			err = prepare()
		}
		made <- err
		for f := range h.forks {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(h.forks) })
	return h
}

func (h *hostThread) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	h.forks <- func() { started <- cmd.Start() }
	return <-started
}

// ip runs ip(8) there; on a nil one here.
func (h *hostThread) ip(t testing.TB, args string) {
	t.Helper()
	cmd := exec.Command("/sbin/ip", strings.Fields(args)...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Start
	if h != nil {
		err = func() error { return h.start(cmd) }
	}
	if err := err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, said.String())
	}
}

// cronHost is a host with a name, a cable, and folders of its own.
type cronHost struct {
	*hostThread
	name, dir string
	line      string   // of its crontab
	env       []string // that cron gives to it
	fired     []*hostRun
}

// hostRun is a command on a host.
type hostRun struct {
	cmd *exec.Cmd
	out strings.Builder
}

func (h *cronHost) begin(t testing.TB, env []string, args ...string) *hostRun {
	t.Helper()
	r := &hostRun{cmd: &exec.Cmd{Path: args[0], Args: args, Dir: h.dir, Env: env}}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := h.start(r.cmd); err != nil {
		t.Fatal(err)
	}
	return r
}

// end waits for the command's end and returns its exit code.
func (r *hostRun) end() int {
	_ = r.cmd.Wait() // how it ended is in its state
	return r.cmd.ProcessState.ExitCode()
}

// TestThreeHosts runs the lines of README's first crontab on three hosts, which are
// namespaces with their own names, networks, /etc and /usr/local/bin, on one switch with
// the servers. Their crontabs are read by what follows, not by a cron, since that knows
// minutes: here an hour is some seconds, and so is what the line says of minutes.
func TestThreeHosts(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		zktest.LeftOut(t, t.Name()+": needs root", "needs root")
		return
	}
	blocks := slices.DeleteFunc(pageBlocks(t, "README.md"), func(b pageBlock) bool { return b.how != "three-hosts" })
	if len(blocks) != 1 {
		t.Fatalf("%d blocks for three hosts", len(blocks))
	}
	newStage(t, blocks[0]).threeHosts()
}

func (s *stage) threeHosts() {
	const within = 4 * time.Second // by this a host may be late on a busy machine
	program := filepath.Join(matrixRoom(s.T), "zkelect")
	subnet := fmt.Sprintf("10.78.%d.", os.Getpid()%256)
	network := newHostThread(s, unix.CLONE_NEWNET, nil)
	network.ip(s, "link add switch type bridge")
	network.ip(s, "link set switch up")
	plug := func(n int, there *hostThread, name string) {
		tid := os.Getpid()
		if there != nil {
			tid = there.tid
		}
		network.ip(s, fmt.Sprintf("link add port%d type veth peer name %s netns %d", n, name, tid))
		network.ip(s, fmt.Sprintf("link set port%d master switch up", n))
		there.ip(s, fmt.Sprintf("addr add %s%d/24 dev %s", subnet, n+1, name))
		there.ip(s, "link set "+name+" up")
	}
	plug(0, nil, fmt.Sprintf("zkt%d", os.Getpid())) // the servers are on this very host
	server := zktest.StartEnsemble(s, 1, zktest.Hosts(zktest.Host{IP: subnet + "1", Start: (*exec.Cmd).Start})).Servers[0]

	reports := s.file("reports", "")
	var hosts []*cronHost
	for n := 1; n <= 3; n++ {
		h := s.cronHost(fmt.Sprintf("web%d", n), program, server.Addr())
		plug(n, h.hostThread, "eth0")
		h.ip(s, "link set lo up")
		hosts = append(hosts, h)
	}

	lines := strings.SplitAfter(strings.TrimSpace(s.block.text), "\n")
	if len(lines) >= 10 {
		s.Errorf("it takes a new user %d lines", len(lines))
	}
	status := lines[len(lines)-1]
	for _, h := range hosts {
		install := h.begin(s, s.env, "/bin/sh", "-ec", strings.Join(lines[:len(lines)-1], ""))
		if code := install.end(); code != 0 {
			s.Fatalf("%s: exit %d:\n%s", h.name, code, install.out.String())
		}
		h.readCrontab(s, "REPORTS="+reports)
		if !strings.Contains(h.line, " 30m ") {
			s.Fatalf("not for each hour: %s", h.line)
		}
		h.line = strings.Replace(h.line, " 30m ", fmt.Sprintf(" %v ", within), 1)
	}
	ran := func() []string {
		data, err := os.ReadFile(reports)
		if err != nil {
			s.Fatal(err)
		}
		return strings.Fields(string(data))
	}
	strike := func(apart time.Duration) {
		for _, h := range hosts {
			h.fired = append(h.fired, h.begin(s, h.env, "/bin/sh", "-c", h.line))
			time.Sleep(apart)
		}
	}
	for n, apart := range []time.Duration{0, 700 * time.Millisecond} { // together, then by other clocks
		strike(apart)
		for _, h := range hosts {
			if r := h.fired[n]; r.end() != 0 || r.out.Len() > 0 {
				s.Errorf("hour %d: %s: %v, and cron would mail: %s", n+1, h.name, r.cmd.ProcessState, r.out.String())
			}
		}
		if got := ran(); len(got) != n+1 {
			s.Fatalf("hour %d: run by %q so far", n+1, got)
		}
		time.Sleep(within + 500*time.Millisecond)
	}

	// The one that ran last is off the network: another runs the next.
	last := slices.IndexFunc(hosts, func(h *cronHost) bool { return h.name == ran()[1] })
	network.ip(s, fmt.Sprintf("link set port%d down", last+1))
	strike(0)
	for n, h := range hosts {
		r := h.fired[2]
		switch code := r.end(); {
		case n == last && (code != 125 || !strings.Contains(r.out.String(), "ZooKeeper not reached")):
			s.Errorf("%s, cut off: exit %d: %s", h.name, code, r.out.String())
		case n != last && (code != 0 || r.out.Len() > 0):
			s.Errorf("%s: exit %d: %s", h.name, code, r.out.String())
		}
	}
	got := ran()
	if len(got) != 3 || got[2] == got[1] {
		s.Fatalf("run by %q", got)
	}
	for n, h := range hosts {
		if n == last {
			continue
		}
		asked := h.begin(s, append(s.env, "PATH="+os.Getenv("PATH")), "/bin/sh", "-c", status)
		if asked.end() != 1 || !regexp.MustCompile(`(?m)^RAN +`+got[2]+`:\d+, exited with code 0, `).MatchString(asked.out.String()) {
			s.Errorf("%s: %s", h.name, asked.out.String())
		}
	}
	s.Logf("run by %q", got)
}

// cronHost makes a host. Its folder has what a user has there to begin with.
func (s *stage) cronHost(name, program, server string) *cronHost {
	s.Helper()
	dir := filepath.Join(s.dir, name)
	address, _, _ := strings.Cut(server, ":")
	var etc strings.Builder
	for n := 1; n <= 3; n++ {
		fmt.Fprintf(&etc, "%s zk%d\n", address, n) // which are one here
	}
	s.file(filepath.Join(name, "etc/hosts"), "127.0.0.1 localhost\n"+etc.String())
	s.file(filepath.Join(name, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
	job := s.file(filepath.Join(name, "usr-local-bin/hourly-report"), "#!/bin/sh\n"+pageJobs["hourly-report"]+"\n")
	content, err := os.ReadFile(program)
	for _, step := range []func() error{
		func() error { return err },
		func() error { return os.Mkdir(filepath.Join(dir, "etc/cron.d"), 0o755) },
		func() error { return os.Mkdir(filepath.Join(dir, "bin"), 0o755) },
		func() error { return os.WriteFile(filepath.Join(dir, "bin/zkelect"), content, 0o755) },
		func() error { return os.Chmod(job, 0o755) },
	} {
		if err := step(); err != nil {
			s.Fatal(err)
		}
	}
	thread := newHostThread(s, unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWNS, func() error {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return err
		}
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		for from, to := range map[string]string{"etc": "/etc", "usr-local-bin": "/usr/local/bin"} {
			if err := unix.Mount(filepath.Join(dir, from), to, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("%s: %w", to, err)
			}
		}
		return nil
	})
	return &cronHost{hostThread: thread, name: name, dir: dir}
}

// readCrontab takes the one entry from the one file in the host's /etc/cron.d, and the
// environment that Debian's cron starts with, as cron(8) has it.
func (h *cronHost) readCrontab(t testing.TB, more ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "etc/cron.d/*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v: %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	h.env = append([]string{"HOME=/root", "LOGNAME=root", "SHELL=/bin/sh", "PATH=/usr/bin:/bin"}, more...)
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		entry := regexp.MustCompile(`^0 \* \* \* \*\s+root\s+([^%]+)$`).FindStringSubmatch(line)
		switch {
		case regexp.MustCompile(`^\w+=`).MatchString(line):
			h.env = append(h.env, line)
		case entry == nil || h.line != "":
			t.Fatalf("not the one entry for each hour: %s", line)
		default:
			h.line = entry[1]
		}
	}
}
