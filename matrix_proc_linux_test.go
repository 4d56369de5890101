package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// matrixMark is the variable that every process of a cell has, zkelect's included:
// by it they are found without the code under test, in a PID namespace too.
const matrixMark = "ZKTEST_MATRIX_CELL"

// matrixProc is a living process.
type matrixProc struct {
	pid, ppid int
	comm      string
	state     byte
}

// matrixMarked lists the living processes with the mark, zombies excepted. One that
// was born during the look may be missing.
func matrixMarked(mark string) (procs []matrixProc) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if !bytes.Contains(append(append([]byte{0}, env...), 0), []byte("\x00"+matrixMark+"="+mark+"\x00")) {
			continue
		}
		if p, ok := matrixStat(pid); ok && p.state != 'Z' {
			procs = append(procs, p)
		}
	}
	return procs
}

func matrixStat(pid int) (matrixProc, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return matrixProc{}, false
	}
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[to+1:])
	ppid, err := strconv.Atoi(string(fields[1]))
	return matrixProc{pid: pid, ppid: ppid, comm: string(stat[from+1 : to]), state: fields[0][0]}, err == nil
}

// ours tells zkelect's own processes from the command's.
func (p matrixProc) ours() bool { return strings.HasPrefix(p.comm, "zkelect") }

// matrixSum is processes in words, as "2 sleep, 1 child".
func matrixSum(procs []matrixProc) string {
	count := map[string]int{}
	for _, p := range procs {
		count[p.comm]++
	}
	var words []string
	for comm, n := range count {
		words = append(words, fmt.Sprintf("%d %s", n, comm))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// matrixEnd kills what has the mark until nothing has, by its pid and in no doubt
// about whose that is.
func matrixEnd(t *testing.T, mark string) {
	for deadline, calm := time.Now().Add(bound), 0; calm < 3; {
		procs := matrixMarked(mark)
		if calm++; len(procs) > 0 {
			calm = 0
		}
		for _, p := range procs {
			fd, err := unix.PidfdOpen(p.pid, 0)
			if err != nil {
				continue // it has ended
			}
			env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
			if bytes.Contains(env, []byte(matrixMark+"="+mark+"\x00")) {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			unix.Close(fd)
		}
		if time.Now().After(deadline) {
			t.Errorf("these can't be killed: %v", procs)
			return
		}
		time.Sleep(10 * time.Millisecond) // a respawner's next is not in /proc yet
	}
}

// matrixPipe is what a tree holds open: the end of file is its death, of all of it,
// to the instant.
type matrixPipe struct {
	name string
	fd   int // our end for reading
	keep int // one for writing, lest there be an end of file before the beginning
	text []byte
}

func newMatrixPipe(name string) (*matrixPipe, error) {
	if err := unix.Mkfifo(name, 0o666); err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o666); err != nil { // another user's processes write there
		return nil, err
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	keep, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &matrixPipe{name: name, fd: fd, keep: keep}, nil
}

func (p *matrixPipe) close() {
	p.drop()
	unix.Close(p.fd)
}

// drop gives up our own end for writing.
func (p *matrixPipe) drop() {
	if p.keep >= 0 {
		unix.Close(p.keep)
		p.keep = -1
	}
}

// await reads until n processes are up, and returns what the first has said.
func (p *matrixPipe) await(n int, over <-chan struct{}) (first string, err error) {
	for deadline := time.Now().Add(bound); ; time.Sleep(2 * time.Millisecond) {
		buf := make([]byte, 4096)
		if got, err := unix.Read(p.fd, buf); err == nil {
			p.text = append(p.text, buf[:max(got, 0)]...)
		} else if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return "", err
		}
		if bytes.Count(p.text, []byte("\n")) >= n {
			first, _, _ := strings.Cut(string(p.text), "\n")
			return first, nil
		}
		select {
		case <-over:
			return "", errors.New("zkelect has ended")
		default:
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%d of %d processes are up after %v", bytes.Count(p.text, []byte("\n")), n, bound)
		}
	}
}

// dead waits up to a timeout for the end of file, and says when it was seen.
func (p *matrixPipe) dead(timeout time.Duration) (at int64, dead bool) {
	for deadline := zktest.Stamp() + int64(timeout); ; {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		left := max(0, (deadline-zktest.Stamp())/int64(time.Millisecond))
		_, err := unix.Poll(fds, int(left))
		now := zktest.Stamp()
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case fds[0].Revents&unix.POLLHUP != 0:
			return now, true
		case fds[0].Revents&unix.POLLIN != 0: // somebody says that it is up
			_, _ = unix.Read(p.fd, make([]byte, 4096))
			continue
		}
		if now >= deadline {
			return now, false
		}
	}
}
