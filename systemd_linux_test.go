package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/zktest"
)

// unitOf are the settings of the unit, without its sections.
func unitOf(t *testing.T) (text string, settings map[string]string) {
	t.Helper()
	data, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	settings = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(data), -1) {
		settings[m[1]] = m[2]
	}
	return string(data), settings
}

// TestUnitVerifies: systemd's own verdict, without one that is booted.
func TestUnitVerifies(t *testing.T) {
	text, unit := unitOf(t)
	binary, err := filepath.Abs("bin/zkelect")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(unitFile))
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/usr/bin/zkelect", binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	// It exits with 0 though it found faults.
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}

	// What it can't know.
	for _, code := range []int{exitSignal + int(syscall.SIGTERM), exitResigned} {
		if !strings.Contains(" "+unit["SuccessExitStatus"]+" ", fmt.Sprintf(" %d ", code)) {
			t.Errorf("SuccessExitStatus=%s lacks %d", unit["SuccessExitStatus"], code)
		}
	}
	var stop time.Duration
	if err := cmdline.Duration(&stop)(unit["TimeoutStopSec"]); err != nil || stop < zkelect.DefaultStopTimeout+8*time.Second {
		t.Errorf("TimeoutStopSec=%s does not hold a stop: %v", unit["TimeoutStopSec"], err)
	}
	for name, want := range map[string]string{"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "Delegate": "yes", "Restart": "always"} {
		if unit[name] != want {
			t.Errorf("%s=%s, want %s", name, unit[name], want)
		}
	}
}

// TestUnitCommand: the shell's part of the unit's command keeps the quotes of the
// environment file, leaves no shell behind, and says what is missing.
func TestUnitCommand(t *testing.T) {
	_, unit := unitOf(t)
	_, script, _ := strings.Cut(unit["ExecStart"], " -- /bin/sh -c '")
	script = strings.NewReplacer("$$", "$", "%i", "billing").Replace(strings.TrimSuffix(script, "'"))
	sh := func(command string) (string, error) {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Env = append(os.Environ(), "ZKELECT_COMMAND="+command)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := sh(`printf '<%s>' "the  one" two $((1+2))`); err != nil || out != "<the  one><two><3>" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := sh(`readlink /proc/self/exe`); err != nil || strings.Contains(out, "sh\n") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := sh(""); err == nil || !strings.Contains(out, "ZKELECT_COMMAND: is not set in /etc/zkelect/billing.env") {
		t.Errorf("%q, %v", out, err)
	}
	// The example's own line, as a shell would read it: systemd's quotes are alike.
	example, err := exec.Command("/bin/sh", "-c", `. packaging/systemd/example.env; printf %s "$ZKELECT_COMMAND"`).Output()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := sh("printf '%s|' " + string(example)); err != nil || out != "billingd|--port|8080|--title|the one|" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestDelegatedUnit: an ordinary user in a control group that is delegated as
// systemd does it. A stop leaves nothing for the SIGKILL that follows under
// KillMode=mixed. That of an elector that was killed ends its guard too, which is
// safe: the next one leads when the session is over.
func TestDelegatedUnit(t *testing.T) {
	t.Parallel()
	p, whyNot := newMatrixPlace(t, "nobody", "cgroup")
	if whyNot != "" {
		matrixLeftOut(t, whyNot)
		return
	}
	dir, err := os.MkdirTemp("", "zkelect-unit-") // not t.TempDir, into which other users may not look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if out, err := exec.Command("sh", "-c", `chmod 755 "$0" && install -m 755 bin/zkelect "$0"`, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s; run: make build", err, out)
	}
	servers := zktest.Shared(t).Chroot(t)
	job := `trap "" TERM; grep ^0:: /proc/self/cgroup; setsid sleep 300 & sleep 300; sleep 300`
	elector := func(id, session string) (cmd *exec.Cmd, log func() string) {
		t.Helper()
		cmd = exec.Command(filepath.Join(dir, "zkelect"), "run", "--servers", servers, "--path", "/jobs/e", "--id", id,
			"--session-timeout", session, "--stop-timeout", "500ms", "--isolate", "cgroup", "--", "sh", "-c", job)
		attr, err := p.attr()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(attr.CgroupFD)
		cmd.SysProcAttr, cmd.Dir = attr, dir
		stderr, err := os.Create(filepath.Join(t.TempDir(), id))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		cmd.Stderr = stderr
		log = func() string {
			data, err := os.ReadFile(stderr.Name())
			return fmt.Sprint(string(data), err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		group := p.cgroup
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = os.WriteFile(group+"/cgroup.kill", []byte("1"), 0)
		})
		place := make([]byte, 200)
		n, _ := out.Read(place) // a line, once the command runs
		inside := strings.TrimSpace(string(place[:n]))
		if !regexp.MustCompile(`^0::.*/` + regexp.QuoteMeta(filepath.Base(p.cgroup)) + `/zkelect-[0-9.]+$`).MatchString(inside) {
			t.Errorf("the command of %s runs in %q; log:\n%s", id, inside, log())
		}
		return cmd, log
	}
	left := func(group string) string {
		out, err := exec.Command("find", group, "-name", "cgroup.procs", "-exec", "cat", "{}", "+").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}

	a, log := elector("a", "12s")
	_ = a.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := a.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitSignal+int(syscall.SIGKILL) { // by the end of the grace
		t.Errorf("a: %v\n%s", err, log())
	}
	if pids := left(p.cgroup); pids != "" {
		t.Errorf("left after a stop: %s\n%s", pids, log())
	}

	b, _ := elector("b", "5s")
	_ = b.Process.Kill()
	if err := os.WriteFile(p.cgroup+"/cgroup.kill", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	killed, at := p, time.Now()
	_ = b.Wait()
	// As systemd makes the unit's anew. From Linux 6.14 on what is born into a group
	// below one that was ever killed as a whole dies at once.
	if p, whyNot = newMatrixPlace(t, "nobody", "cgroup"); whyNot != "" {
		t.Fatal(whyNot)
	}
	c, log := elector("c", "12s")
	if pids := left(killed.cgroup); pids != "" {
		t.Errorf("the next one leads beside %s", pids)
	}
	t.Logf("after the kill of a whole unit the next one led in %v", time.Since(at).Round(100*time.Millisecond))
	_ = c.Process.Signal(syscall.SIGTERM)
	_ = c.Wait()
	if pids := left(p.cgroup); pids != "" {
		t.Errorf("left: %s\n%s", pids, log())
	}
}

// TestControlGroupThatWasKilled: some kernels kill what is born into a control group
// where that of the parent was killed before, as systemd does with a unit's.
func TestControlGroupThatWasKilled(t *testing.T) {
	t.Parallel()
	p, whyNot := newMatrixPlace(t, "root", "cgroup")
	if whyNot != "" {
		matrixLeftOut(t, whyNot)
		return
	}
	for range 3 {
		if err := os.WriteFile(p.cgroup+"/cgroup.kill", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	// Who is born there by clone, as the other tests do it, is killed too.
	cmd := exec.Command("sh", "-ec", `echo $$ >"$0/cgroup.procs"; exec "$@"`, p.cgroup,
		"zkelect", "run", "-s", zktest.Shared(t).Chroot(t), "-p", "/jobs/e", "--isolate", "cgroup", "--", "grep", "^0::", "/proc/self/cgroup")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), filepath.Base(p.cgroup)+"/zkelect-") {
		t.Errorf("%v: %s", err, out)
	}
}
