package child

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		script string
		want   Status
		text   string
	}{
		{"exit 0", Status{}, "exit status 0"},
		{"exit 1", Status{Code: 1}, "exit status 1"},
		{"exit 255", Status{Code: 255}, "exit status 255"},
		{"kill -TERM $$", Status{143, syscall.SIGTERM}, "signal: terminated"},
		{"kill -KILL $$", Status{137, syscall.SIGKILL}, "signal: killed"},
		{"kill -SEGV $$", Status{139, syscall.SIGSEGV}, "signal: segmentation fault"},
		{"trap 'exit 7' TERM; kill -TERM $$", Status{Code: 7}, "exit status 7"},
	} {
		p, _ := sh(t, c.script)
		within(t, "Done", p.Done())
		if !closed(p.Exited()) || p.Status() != c.want || p.Status().String() != c.text {
			t.Errorf("%s: %v, want %v", c.script, p.Status(), c.want)
		}
		p.Signal(syscall.SIGTERM) // all of them after the end: nothing to do, nothing to hit
		p.Stop()
		p.Kill()
	}
	p, _ := sh(t, "sleep 60")
	if s := p.Status(); s.Code != -1 || s.String() != "running" {
		t.Error("while it runs:", s)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLook(t *testing.T) {
	dir := t.TempDir()
	good, plain := filepath.Join(dir, "good"), filepath.Join(dir, "plain")
	for _, d := range []string{good, plain, filepath.Join(plain, "tool"), filepath.Join(plain, "folder")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(good, "tool"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(plain, "text"), "#!/bin/sh\n", 0o644)
	t.Chdir(good)
	for _, c := range []struct{ name, path, want, err string }{
		{"tool", plain + ":" + good, good + "/tool", ""}, // past the directory of that name
		{"tool", "", "./tool", ""},
		{"tool", good + "/tool:" + dir + "::" + plain, "./tool", ""},
		{"./tool", plain, "./tool", ""},
		{good + "/tool", "", good + "/tool", ""},
		{"text", good + ":" + plain, "", plain + "/text: cannot execute: permission denied"},
		{"folder", good + ":" + plain, "", plain + "/folder: cannot execute: it is a directory"},
		{plain + "/folder", "", "", plain + "/folder: cannot execute: it is a directory"},
		{plain + "/text", "", "", plain + "/text: cannot execute: permission denied"},
		{"/dev/null", "", "", "/dev/null: cannot execute: permission denied"},
		{"nowhere", good, "", "nowhere: command not found in PATH; check"},
		{"./nowhere", good, "", "./nowhere: command not found: no such file"},
		{good + "/tool/x", good, "", good + "/tool/x: command not found"},
		{"", good, "", "the command is empty: command not found"},
	} {
		t.Setenv("PATH", c.path)
		got, err := Look(c.name)
		if c.err == "" {
			if err != nil || got != c.want {
				t.Errorf("%q in %q: %q, %v; want %q", c.name, c.path, got, err, c.want)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%q in %q: %v, want %q", c.name, c.path, err, c.err)
		}
		if errors.Is(err, ErrNotFound) == errors.Is(err, ErrNotExecutable) {
			t.Errorf("%q: %v must wrap one of the two", c.name, err)
		}
	}
	os.Unsetenv("PATH")
	if got, err := Look("sh"); err != nil || got != "/bin/sh" {
		t.Error("without PATH:", got, err)
	}
}

// root's access(2) knows no missing permission, so an ordinary user looks.
func TestLookAsOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		leftOut(t, "looks as another user")
		return
	}
	dir, err := os.MkdirTemp("", "look")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(secret, 0o755)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "private"), "#!/bin/sh\n", 0o700)
	write(t, filepath.Join(secret, "tool"), "#!/bin/sh\n", 0o755)
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	const denied = "cannot execute: permission denied"
	for name, want := range map[string]string{
		dir + "/private": denied, secret + "/tool": denied, "private": denied, "tool": "command not found in PATH",
	} {
		cmd := helper(t, "look", name)
		cmd.Path = write(t, filepath.Join(dir, "helper"), string(self), 0o755)
		cmd.Env = append(cmd.Env, "PATH="+dir+":"+secret)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %s %v", name, out, err)
		}
		os.Remove(cmd.Path)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		cmd  Command
		want error
		text string
	}{
		{"gone", Command{Path: dir + "/gone"}, ErrNotFound, "gone: command not found: no such file or directory"},
		{"bad interpreter", Command{Path: write(t, dir+"/bad", "#!/no/such/thing\n", 0o755)}, ErrNotExecutable, "interpreter"},
		{"no first line", Command{Path: write(t, dir+"/script", "exit 0\n", 0o755)}, ErrNotExecutable, "exec format error"},
		{"no x bit", Command{Path: write(t, dir+"/plain", "#!/bin/sh\n", 0o644)}, ErrNotExecutable, "permission denied"},
		{"directory", Command{Path: dir}, ErrNotExecutable, "permission denied"},
		{"too long", Command{Path: "/bin/true", Args: []string{"true", strings.Repeat("x", 1<<18)}}, ErrNotExecutable, "argument list too long"},
		{"no directory", Command{Path: "/bin/true", Dir: dir + "/none"}, syscall.ENOENT, "change to working directory"},
		{"a file as directory", Command{Path: "/bin/true", Dir: "/bin/true"}, syscall.ENOTDIR, "change to working directory"},
	} {
		p, err := Start(c.cmd)
		if p != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	eventually(t, "a failed start is forgotten", func() bool {
		trees.mu.Lock()
		defer trees.mu.Unlock()
		return len(trees.trees) == 0 && trees.starting == 0
	})
}

func TestEnvDirArgs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	os.Mkdir("sub", 0o755)
	write(t, "show", "#!/bin/sh\necho \"$X|$0|$1|$(pwd -P)\"\n", 0o755)
	r, w, _ := os.Pipe()
	path, err := Look("./show")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, Command{Path: path, Args: []string{"./show", "a b"}, Env: []string{"X=y z"}, Dir: "sub", Stdout: w})
	w.Close()
	within(t, "Done", p.Done())
	real, _ := filepath.EvalSymlinks(dir)
	if got, want := readAll(t, r), fmt.Sprintf("y z|%s/show|a b|%s/sub\n", real, real); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStdin(t *testing.T) {
	in, feed, _ := os.Pipe()
	out, w, _ := os.Pipe()
	p := start(t, Command{Path: "/bin/cat", Args: []string{"cat"}, Stdin: in, Stdout: w})
	in.Close()
	w.Close()
	io.WriteString(feed, "through")
	feed.Close()
	within(t, "Done", p.Done())
	if got := readAll(t, out); got != "through" {
		t.Errorf("got %q", got)
	}
}

func TestClosedStdin(t *testing.T) {
	cmd := helper(t, "run", "sh", "-c", "cat; echo rc=$?")
	out, err := exec.Command("/bin/sh", "-c", `exec "$@" <&-`, "sh", "true").CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	// A helper whose descriptor 0 is closed from the start.
	outer := exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@" <&-`, cmd.Path}, cmd.Args[1:]...)...)
	outer.Path, outer.Args[3] = "/bin/sh", self(t)
	outer.Env = cmd.Env
	got, err := outer.Output()
	if err != nil || !strings.Contains(string(got), "rc=") {
		t.Fatalf("%q %v", got, err)
	}
	// One that was closed meanwhile is empty: Go opens /dev/null in the guard.
	f, _ := os.Open("/dev/null")
	f.Close()
	r, w, _ := os.Pipe()
	p := start(t, Command{Path: "/bin/sh", Args: []string{"sh", "-c", "cat; readlink /proc/self/fd/0"}, Stdin: f, Stdout: w})
	w.Close()
	within(t, "Done", p.Done())
	if got := readAll(t, r); got != "/dev/null\n" {
		t.Errorf("got %q", got)
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What the process was started with is passed on, what it opened itself is not.
func TestDescriptors(t *testing.T) {
	for _, extra := range []int{0, 64} {
		cmd := helper(t, "run", "ls", "/proc/self/fd")
		want := []string{"0", "1", "2"}
		for i := range extra {
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			want = append(want, fmt.Sprint(3+i))
		}
		for _, fd := range trees.fs.names("self/fd") { // and what this test itself has inherited
			flags, err := unix.FcntlInt(uintptr(atoi(t, fd)), unix.F_GETFD, 0)
			if err == nil && flags&unix.FD_CLOEXEC == 0 && !slices.Contains(want, fd) {
				want = append(want, fd)
			}
		}
		for i := 0; ; i++ { // the directory that ls reads
			if !slices.Contains(want, fmt.Sprint(i)) {
				want = append(want, fmt.Sprint(i))
				break
			}
		}
		slices.Sort(want)
		out, err := cmd.Output()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}

func TestSignals(t *testing.T) {
	p, out := sh(t, `
		for s in HUP QUIT USR1 USR2 WINCH CONT; do trap "echo got $s" $s; done
		echo ready; while :; do sleep 0.01; done`)
	expect(t, out, "ready")
	for _, s := range Forwarded() {
		p.Signal(s.(syscall.Signal))
		name := map[os.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT", syscall.SIGUSR1: "USR1",
			syscall.SIGUSR2: "USR2", syscall.SIGWINCH: "WINCH", syscall.SIGCONT: "CONT"}[s]
		expect(t, out, "got "+name)
	}
}

// nohup: HUP is ignored by us, not forwarded, and ignored by the child.
func TestIgnoredHangup(t *testing.T) {
	for ignored, want := range map[bool]string{true: "alive", false: ""} {
		script := `exec "$0" "$@"`
		if ignored {
			script = `trap "" HUP; ` + script
		}
		cmd := helper(t, "run", "sh", "-c", `echo child; kill -HUP $$; sleep 0.2; echo alive; read line; echo read`)
		outer := exec.Command("/bin/sh", append([]string{"-c", script, self(t)}, cmd.Args[1:]...)...)
		outer.Env = cmd.Env
		in, _ := outer.StdinPipe()
		pipe, _ := outer.StdoutPipe()
		if err := outer.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(pipe)
		expect(t, out, "child")
		if ignored {
			expect(t, out, "alive")
			outer.Process.Signal(syscall.SIGHUP)
			time.Sleep(50 * time.Millisecond)
			io.WriteString(in, "\n")
			expect(t, out, "read")
			want = "exit status 0"
		} else {
			want = "exit status 129"
		}
		if err := outer.Wait(); (err != nil || want != "exit status 0") && fmt.Sprint(err) != want {
			t.Errorf("ignored %v: %v, want %s", ignored, err, want)
		}
	}
}

// The death signal must not come when some thread of ours ends, and must come
// when the process does.
func TestParentDeath(t *testing.T) {
	for range 10 {
		cmd := helper(t, "run", "sleep", "600")
		pipe, _ := cmd.StderrPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := atoi(t, strings.TrimPrefix(expect(t, bufio.NewReader(pipe), "started="), "started="))
		time.Sleep(10 * time.Millisecond)
		if s := state(pid); s != 'S' && s != 'R' {
			t.Fatalf("the child is %c before anything was killed", s)
		}
		cmd.Process.Kill()
		cmd.Wait()
		eventually(t, "the child of a killed process dies", func() bool { s := state(pid); return s == '-' || s == 'Z' })
	}
}

// Nor must it come when threads of ours end, as Go lets them.
func TestThreadsComeAndGo(t *testing.T) {
	for range 5 {
		p, _ := sh(t, "exec sleep 600")
		for range 200 {
			go runtime.LockOSThread() // a thread that is still locked ends with its goroutine
			runtime.Gosched()
		}
		time.Sleep(20 * time.Millisecond)
		if closed(p.Exited()) {
			t.Fatal("killed:", p.Status())
		}
		killing(t, p)
	}
}
