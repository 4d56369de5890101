package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"zkelect/zkelect/zktest"
)

// leakScript tells all that a process gets from the one that started it.
const leakScript = `
ls -l /proc/self/fd | sed -n 's/.* \([0-9]* -> .*\)/fd \1/p'
env | sed 's/^/env /'
grep -E '^(Cap(Inh|Prm|Eff|Amb)|Sig(Blk|Ign)|NoNewPrivs|Seccomp):' /proc/self/status
ulimit -a
umask
pwd`

// What the command adds by its own doing, and what differs between two runs.
var (
	leakOwnFd  = regexp.MustCompile(`(?m)^fd \d+ -> /proc/\d+/fd\n`)
	leakFolder = regexp.MustCompile(`(?m)^(fd \d+ -> )/.*/`) // in a chroot the namespace of mounts shows
	leakNumber = regexp.MustCompile(`(pipe|socket):\[\d+\]`)
	leakAdded  = regexp.MustCompile(`(?m)^env ZKELECT_(PATH|ID|NODE|SESSION|FENCING_TOKEN|SERVERS|RECIPE|SESSION_TIMEOUT|CONNECT_TIMEOUT)=.*\n`)
)

// TestNothingLeaksIntoTheChild runs a command with and without zkelect in front of
// it: apart from the variables that are promised, it must see no difference.
func TestNothingLeaksIntoTheChild(t *testing.T) {
	t.Parallel()
	room := matrixRoom(t)
	for _, user := range matrixUsers {
		for _, level := range matrixLevels {
			t.Run(user+"_"+level, func(t *testing.T) {
				place, whyNot := newMatrixPlace(t, user, level)
				if whyNot != "" {
					matrixLeftOut(t, whyNot)
					return
				}
				for _, stdio := range []string{"plain", "closed", "many", "pipes"} {
					leakRun(t, room, place, level, stdio)
				}
			})
		}
	}
}

func leakRun(t *testing.T, room string, place matrixPlace, level, stdio string) {
	t.Helper()
	server := zktest.Shared(t).Chroot(t)
	var got [2]string
	for n, front := range [][]string{nil, {room + "/zkelect", "run", "-q", "-s", server, "-p", "/jobs/e", "--isolate", level, "--listen", "127.0.0.1:0", "--"}} {
		closed := ""
		if stdio == "closed" {
			closed = " <&-"
			if n == 0 {
				closed = " </dev/null" // a closed one is empty
			}
		}
		args := append([]string{"/bin/sh", "-c", `exec "$@"` + closed, "sh"}, front...)
		cmd := exec.Command(args[0], append(args[1:], "/bin/sh", "-c", leakScript)...)
		cmd.Dir = "/"
		var err error
		if cmd.SysProcAttr, err = place.attr(); err != nil {
			t.Fatal(err)
		}
		if cmd.SysProcAttr.UseCgroupFD {
			f := os.NewFile(uintptr(cmd.SysProcAttr.CgroupFD), place.cgroup)
			defer f.Close()
		}
		if stdio == "many" {
			for range 64 {
				f, err := os.Open(filepath.Join(room, "child"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			}
		}
		if stdio == "pipes" {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			cmd.Stdin, cmd.ExtraFiles = r, []*os.File{w}
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", stdio, err, out, &stderr)
		}
		text := leakNumber.ReplaceAllString(leakOwnFd.ReplaceAllString(string(out), ""), "$1")
		text = leakFolder.ReplaceAllString(text, "$1")
		if n == 1 {
			if added := len(leakAdded.FindAllString(text, -1)); added != 9 {
				t.Errorf("%s: %d variables are added", stdio, added)
			}
			text = leakAdded.ReplaceAllString(text, "")
		}
		lines := strings.Split(text, "\n")
		slices.Sort(lines)
		got[n] = strings.Join(lines, "\n")
	}
	if got[0] != got[1] {
		t.Errorf("%s: without zkelect:\n%s\nwith it:\n%s", stdio, got[0], got[1])
	}
	if !strings.Contains(got[1], fmt.Sprintf("fd %d", map[string]int{"many": 66, "pipes": 3}[stdio])) {
		t.Errorf("%s: the descriptors are not there:\n%s", stdio, got[1])
	}
}
