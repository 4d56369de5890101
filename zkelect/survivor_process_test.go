package zkelect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// electorVar makes of the test binary an elector that opens a term in the
// election of this connect string, prints its will and waits to be killed.
const electorVar = "ZKELECT_TEST_ELECTOR"

func electorMain(connect string) {
	c, err := NewCandidate(CandidateConfig{
		Config: Config{Servers: connect, Path: "/jobs/billing", SessionTimeout: 20 * time.Second}, ID: "a",
	})
	if err == nil {
		var t *term
		if t, err = c.attempt(context.Background()); err == nil {
			fmt.Printf("%s\n", c.will(t.name))
			_, err = io.Copy(io.Discard, os.Stdin) // for as long as the tests run
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// again is the test binary started again, as a guard does it.
func again(t testing.TB, name string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{name}
	cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// survivorProcess is a survivor in a process of its own, with what it prints. The
// will's other end stays open if it is not given.
func survivorProcess(t testing.TB, w []byte, output io.Writer) *exec.Cmd {
	t.Helper()
	r, other, err := os.Pipe()
	noError(t, err)
	defer r.Close()
	t.Cleanup(func() { other.Close() })
	_, err = other.Write(w)
	noError(t, err)
	cmd := again(t, survivorName)
	cmd.ExtraFiles = []*os.File{r} // the first is 3
	cmd.Stdout, cmd.Stderr = output, output
	noError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// An elector is killed, and its survivor runs as the guard starts it.
func TestSurvivorOfAKilledElector(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t))
		elector := again(t, "elector", electorVar+"="+e.connect())
		elector.Stderr = os.Stderr
		out, err := elector.StdoutPipe()
		noError(t, err)
		_, err = elector.StdinPipe()
		noError(t, err)
		noError(t, elector.Start())
		t.Cleanup(func() { elector.Process.Kill(); elector.Wait() })
		w, err := bufio.NewReader(out).ReadBytes('\n')
		noError(t, err)
		b := contend(t, e.steady("b"))
		b.awaitEvent(EventWaiting)
		e.mustStand(true, "a", "b")

		killed := zktest.Stamp()
		noError(t, elector.Process.Kill())
		var output bytes.Buffer
		survivor := survivorProcess(t, w, &output)
		work := b.awaitWork(0)
		t.Logf("the next one led %v after the kill", time.Duration(work.started-killed))
		if err := survivor.Wait(); err != nil || output.Len() > 0 {
			t.Errorf("%v, output %q", err, output.String())
		}
		e.mustStand(true, "b")
		if rec := e.record(); rec.Last.ID != "a" || rec.Last.Cause != CauseDied || len(rec.Unclean) != 0 {
			t.Errorf("record %s", rec.encode())
		}
	})
}

// A survivor shows the credentials to nobody, prints nothing, cannot be stopped by
// signals, and is over with the session.
func TestSurvivorProcessIsQuiet(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	w, err := json.Marshal(will{
		Servers: zktest.Silent(t) + "/jobs", Path: "/billing", Recipe: "latch", Timeout: timeout, Node: "_c_x-latch-0000000001",
		Auth: &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")},
	})
	noError(t, err)
	began := time.Now()
	var output bytes.Buffer
	cmd := survivorProcess(t, w, &output)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	dir := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
	seen := 0
	awaitTrue(t, "it has come to its own code, and read its will", func() bool {
		comm, _ := os.ReadFile(dir + "/comm")
		return strings.HasPrefix(survivorName, strings.TrimSpace(string(comm))) && ignores(dir, syscall.SIGTERM) &&
			!strings.HasPrefix(readlink(dir+"/fd/3"), "pipe:")
	})
	for _, name := range []string{"cmdline", "environ", "comm"} {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		seen += len(text)
		for _, secret := range []string{"alice", "s3cret", "YWxpY2U6czNjcmV0"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s has %q", name, text)
			}
		}
	}
	if cmdline, _ := os.ReadFile(dir + "/cmdline"); string(cmdline) != survivorName+"\x00" {
		t.Errorf("command line %q", cmdline)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPIPE, syscall.SIGALRM} {
		noError(t, cmd.Process.Signal(sig))
	}
	select {
	case err := <-ended:
		if took := time.Since(began); err != nil || took < timeout || output.Len() > 0 {
			t.Errorf("ended after %v: %v, output %q", took, err, output.String())
		}
	case <-time.After(harnessPatience):
		t.Error("it does not end")
	}
	if seen == 0 {
		t.Error("nothing was seen of it")
	}
}

// ignores tells whether the process of the folder in /proc ignores a signal.
func ignores(dir string, sig syscall.Signal) bool {
	status, _ := os.ReadFile(dir + "/status")
	_, rest, _ := strings.Cut(string(status), "SigIgn:\t")
	mask, _, _ := strings.Cut(rest, "\n")
	bits, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && bits&(1<<(sig-1)) != 0
}

func readlink(name string) string {
	target, _ := os.Readlink(name)
	return target
}

// A survivor takes its will from any file, and ends where it gets none that it
// understands.
func TestSurvivorProcessReadsItsWill(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]string{
		"none": "", "half": `{"servers":"127.0.0.1`, "garbage": "hello\n", "empty": "{}", "no node": `{"timeout":1000}`,
		"no time": `{"node":"x"}`, "other types": `{"node":1}`, "no servers": `{"timeout":1000,"node":"x","path":"/a","recipe":"latch"}`,
		"later recipe": `{"timeout":1000,"node":"x","path":"/a","recipe":"later"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var output bytes.Buffer
			cmd := survivorProcess(t, []byte(w), &output)
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				if err != nil || output.Len() > 0 {
					t.Errorf("%v, output %q", err, output.String())
				}
			case <-time.After(harnessPatience):
				t.Error("it does not end")
			}
		})
	}
	// A will in a file, which stands at its end.
	f, err := os.Create(filepath.Join(t.TempDir(), "will"))
	noError(t, err)
	defer f.Close()
	e := newElection(t, zktest.Shared(t))
	a := e.joined(e.steady("a"))
	_, err = f.Write(a.c.will(a.name))
	noError(t, err)
	a.die()
	cmd := again(t, survivorName)
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 || len(e.participants()) != 0 {
		t.Errorf("%v, output %q, queue %v", err, out, e.participants())
	}
	cmd = again(t, survivorName) // without the descriptor
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v, output %q", err, out)
	}
}

// Whoever adds to Config has to say what a survivor needs of it: nothing is
// created by one, nobody hears of it, and its time is the session's.
func TestSurvivorKnowsTheConfig(t *testing.T) {
	t.Parallel()
	needed := []string{"Servers", "Path", "Recipe", "SessionTimeout", "Auth", "TLS"}
	unneeded := []string{"ConnectTimeout", "ACL", "Observer"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if !slices.Contains(needed, f.Name) && !slices.Contains(unneeded, f.Name) {
			t.Errorf("has the will what a survivor needs of %s?", f.Name)
		}
	}
}

// A will fits into a pipe, so that whoever writes it never waits, or is none.
func TestSurvivorsWillFitsAPipe(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	cfg := e.steady("a")
	cfg.Auth = &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}
	a := e.joined(cfg)
	if a.will.Servers != cfg.Servers || a.will.Path != e.latch || a.will.Recipe != "latch" || a.will.Node != a.name ||
		a.will.Timeout != 20*time.Second || string(a.will.Auth.Secret) != "alice:s3cret" || a.will.Auth.Scheme != "digest" {
		t.Errorf("%+v of %+v", a.will, cfg)
	}
	if shown := fmt.Sprintf("%v %+v %#v", a.will, a.will, *a.will.Auth); strings.Contains(shown, "s3cret") {
		t.Error(shown)
	}
	a.c.cfg.Servers = strings.Repeat("zookeeper.example.com:2181,", 2000) + "zk:2181"
	if w := a.c.will(a.name); len(w) > maxWill || w == nil {
		t.Errorf("%d bytes", len(w))
	}
	a.c.cfg.Servers = strings.Repeat(a.c.cfg.Servers, 2)
	if w := a.c.will(a.name); w != nil {
		t.Errorf("%d bytes", len(w))
	}
}
