package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// matrixLeftOut notes what this machine cannot run: make test ends by naming it.
func matrixLeftOut(t *testing.T, why string) {
	t.Helper()
	zktest.LeftOut(t, t.Name()+": "+why, why)
}

// matrixRoom is a folder that every user may enter, with a zkelect as it is
// installed and the command that it runs.
func matrixRoom(t *testing.T) string {
	t.Helper()
	// Not t.TempDir, into which other users may not look.
	dir, err := os.MkdirTemp("", "zkelect-matrix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tags, err := os.ReadFile(".ci/tags")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-tags", strings.TrimSpace(string(tags)), "-trimpath", "-buildvcs=false",
		"-o", filepath.Join(dir, "zkelect"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script, err := os.ReadFile("testdata/matrix/child")
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "child"), script, 0o755),
			os.Chmod(filepath.Join(dir, "child"), 0o755), os.Chmod(filepath.Join(dir, "zkelect"), 0o755), os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// matrixPlace is where and as whom a zkelect is run.
type matrixPlace struct {
	user   *syscall.Credential // nil: as we are
	cgroup string              // version 2, delegated; "" for none
	pids   string              // version 1, to count processes; "" for none
}

// matrixUID counts the users: each cell has one of its own, so that a limit on a
// user's processes is one on the cell's.
var matrixUID atomic.Uint32

// newMatrixPlace prepares the place of a cell, or says why there is none.
func newMatrixPlace(t *testing.T, user, isolate string) (p matrixPlace, whyNot string) {
	t.Helper()
	if user == "root" && os.Geteuid() != 0 {
		return p, "it needs root"
	}
	if user != "root" && os.Geteuid() == 0 {
		id := 61000 + matrixUID.Add(1)
		p.user = &syscall.Credential{Uid: id, Gid: id}
	}
	switch isolate {
	case "pidns":
		if err := matrixProbe(p.user); err != nil {
			return p, fmt.Sprintf("no PID namespace may be made: %v", err)
		}
	case "cgroup":
		own, err := matrixOwnCgroup("0::", "cgroup2", "")
		if err == nil {
			p.cgroup, err = os.MkdirTemp(own, "matrix-")
		}
		if err == nil {
			t.Cleanup(func() { matrixRemove(t, p.cgroup) })
			_, err = os.Stat(p.cgroup + "/cgroup.kill")
		}
		for _, file := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
			if err == nil && p.user != nil {
				err = os.Chown(filepath.Join(p.cgroup, file), int(p.user.Uid), int(p.user.Gid))
			}
		}
		if err != nil {
			var in *os.PathError
			if errors.As(err, &in) {
				err = in.Err // its name differs each time
			}
			return p, fmt.Sprintf("no control group may be made: %v", err)
		}
	}
	if own, err := matrixOwnCgroup(":pids:", "cgroup", "pids"); err == nil && os.Geteuid() == 0 {
		if p.pids, err = os.MkdirTemp(own, "matrix-"); err == nil {
			t.Cleanup(func() { matrixRemove(t, p.pids) })
		}
	}
	return p, ""
}

// matrixMost is how many processes a cell may have, should something breed on.
const matrixMost = 2500

// limit bounds what processes may breed. It is set on those that are there, before
// the first of them breeds.
func (p matrixPlace) limit(procs []matrixProc) error {
	if p.pids == "" {
		return nil
	}
	err := os.WriteFile(p.pids+"/pids.max", fmt.Append(nil, matrixMost), 0)
	for _, proc := range procs {
		moved := os.WriteFile(p.pids+"/cgroup.procs", fmt.Append(nil, proc.pid), 0)
		if !errors.Is(moved, syscall.ESRCH) { // what the main process waits with may have ended
			err = errors.Join(err, moved)
		}
	}
	return err
}

// limited is the command that runs another with a user's own limit. Root has none,
// and where we are an ordinary user our other processes would count too.
func (p matrixPlace) limited(args ...string) *exec.Cmd {
	if p.user != nil {
		args = append([]string{"prlimit", fmt.Sprintf("--nproc=%d", matrixMost), "--"}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// attr is how the elector is started there. The caller closes the descriptor.
func (p matrixPlace) attr() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Credential: p.user}
	if p.cgroup != "" {
		fd, err := unix.Open(p.cgroup, unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
	return attr, nil
}

// matrixProbe tries whether the system lets a user make PID namespaces, by a program
// that is not ours.
func matrixProbe(user *syscall.Credential) error {
	// Only the propagation of /proc is changed: in a chroot that of "/" can't be.
	args := []string{"--pid", "--fork", "--propagation", "unchanged", "--mount-proc", "true"}
	if user != nil || os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	cmd := exec.Command("unshare", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(cmp.Or(strings.TrimSpace(string(out)), err.Error()))
	}
	return nil
}

// matrixOwnCgroup is our own folder in a hierarchy of control groups: as
// /proc/self/cgroup names it, mounted as such a type with such an option.
func matrixOwnCgroup(name, fstype, option string) (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(own)) {
		_, path, found := strings.Cut(strings.TrimSpace(line), name)
		if !found {
			continue
		}
		for mount := range strings.Lines(string(mounts)) {
			before, after, _ := strings.Cut(mount, " - ")
			f, g := strings.Fields(before), strings.Fields(after)
			rel, err := filepath.Rel(f[3], path)
			if g[0] == fstype && strings.Contains(","+g[len(g)-1]+",", ","+option) && err == nil && !strings.HasPrefix(rel, "..") {
				return filepath.Join(f[4], rel), nil
			}
		}
	}
	return "", fmt.Errorf("none of type %s is mounted %s", fstype, option)
}

// matrixRemove removes a control group with what dead zkelects have left in it. The
// kernel lets go of the last process a moment after its death.
func matrixRemove(t *testing.T, dir string) {
	var err error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		below, _ := filepath.Glob(dir + "/*/cgroup.procs")
		for _, file := range below {
			_ = os.Remove(filepath.Dir(file))
		}
		if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	procs, _ := os.ReadFile(dir + "/cgroup.procs")
	t.Errorf("%v, in it: %s", err, bytes.Fields(procs))
}
