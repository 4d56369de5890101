package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is a control group (version 2) that a tree is born in: one write kills
// or freezes all of it at once, however fast it breeds. A nil one does nothing.
type cgroup struct {
	dir  string
	fd   int
	gone sync.Once
}

// Source: Documentation/admin-guide/cgroup-v2.rst, cgroup.kill (Linux 5.14),
// cgroup.freeze (5.2); clone3(2), CLONE_INTO_CGROUP (5.7).

// newCgroup makes one below the own one.
func newCgroup() (*cgroup, error) {
	own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	// A process is moved, or born elsewhere, by whoever may write here.
	if err := unix.Access(own+"/cgroup.procs", unix.W_OK); err != nil {
		return nil, fmt.Errorf("control group %s is not delegated to this user: %w; have it delegated (Delegate=yes in a systemd unit)", own, err)
	}
	sweepCgroups(own)
	dir, err := os.MkdirTemp(own, fmt.Sprintf("%s%d.", cgroupPrefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make a control group: %w; have %s delegated (Delegate=yes in a systemd unit)", err, own)
	}
	g, err := openCgroup(dir)
	if err == nil {
		_, err = os.Stat(dir + "/cgroup.kill")
	}
	if err != nil {
		_ = os.Remove(dir)
		return nil, fmt.Errorf("control group %s: %w; the kernel must be 5.14 or newer", dir, err)
	}
	return g, nil
}

const cgroupPrefix = "zkelect-"

// openCgroup opens one and locks it: as long as somebody holds it open, no other
// zkelect sweeps it away while it is empty.
func openCgroup(dir string) (*cgroup, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &cgroup{dir: dir, fd: fd}, nil
}

// ownCgroup is the folder of this process in the version 2 hierarchy.
func ownCgroup() (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	var path string
	for line := range strings.Lines(string(own)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSuffix(rest, "\n")
		}
	}
	// Where systemd mounts it, alone or beside version 1. The table of mounts is long on
	// a host of containers, and the kernel slow to write it.
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if dir := filepath.Join(root, path); path != "" && isOwnCgroup(dir) {
			return dir, nil
		}
	}
	return mountedCgroup(path)
}

// isOwnCgroup tells whether this process is in the control group of a folder.
func isOwnCgroup(dir string) bool {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return false
	}
	pids, err := os.ReadFile(dir + "/cgroup.procs")
	self := strconv.Itoa(os.Getpid())
	return err == nil && slices.Contains(strings.Fields(string(pids)), self)
}

// mountedCgroup looks in all that is mounted for the folder of a path.
func mountedCgroup(path string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		// The mount may show only a part of the hierarchy, which the path is in.
		rel, err := filepath.Rel(unescape(fields[3]), path)
		if path == "" || err != nil || strings.HasPrefix(rel, "..") {
			continue
		}
		return filepath.Join(unescape(fields[4]), rel), nil
	}
	return "", errors.New("no control group of version 2 is mounted that this process is in")
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// delegated tells whether the own control group is ours to divide. Under systemd
// it is only where a unit says so: the service manager owns the rest.
func delegated() bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return true
	}
	own, err := ownCgroup()
	if err != nil {
		return false
	}
	for dir := own; len(dir) > 1; dir = filepath.Dir(dir) {
		for _, name := range []string{"trusted.delegate", "user.delegate"} {
			var value [8]byte
			if n, err := unix.Getxattr(dir, name, value[:]); err == nil && n > 0 {
				return value[0] == '1'
			}
		}
	}
	return false
}

// sweepCgroups removes what dead zkelects have left: elector and guard were
// killed in one blow. One that isn't empty stays. The lock tells the dead from the
// living, and no pid does: the owner may be in another PID namespace.
func sweepCgroups(own string) {
	entries, _ := filepath.Glob(own + "/" + cgroupPrefix + "*")
	for _, dir := range entries {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.Remove(dir)
		}
		unix.Close(fd)
	}
}

func (g *cgroup) write(file, value string) error {
	if g == nil {
		return nil
	}
	return os.WriteFile(g.dir+"/"+file, []byte(value), 0)
}

func (g *cgroup) kill() { _ = g.write("cgroup.kill", "1") }

// freeze stops every process in it; false if that can't be.
func (g *cgroup) freeze() bool { return g != nil && g.write("cgroup.freeze", "1") == nil }

func (g *cgroup) thaw() { _ = g.write("cgroup.freeze", "0") }

// remove removes the folder once the tree is dead. The kernel lets go of the last
// process a moment after it has been reaped.
func (g *cgroup) remove() {
	if g == nil {
		return
	}
	g.gone.Do(func() {
		_ = unix.Close(g.fd)
		for range 20 {
			if err := unix.Rmdir(g.dir); err == nil || errors.Is(err, unix.ENOENT) {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}
