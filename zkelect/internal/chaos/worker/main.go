//go:build linux

// Worker is the command of the contenders: one tree of processes that lives as
// its flags say, and shows that it lives.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Announcement is what a process tells the harness of itself. Its pid comes
// from the kernel, with the connection.
type announcement struct {
	Role    string `json:"role"` // main, fence, fork, daemon
	ID      string `json:"id"`
	Path    string `json:"path"`
	Node    string `json:"node"`
	Token   int64  `json:"token"`
	Started int64  `json:"started"` // CLOCK_BOOTTIME, ns
	Stamps  string `json:"stamps"`  // the file with the newest stamp
	Overlap bool   `json:"overlap"` // another tree held the lock
}

var (
	dir     = flag.String("dir", "", "where stamps, lock and the harness's socket are")
	role    = flag.String("role", "main", "main, fence, fork, between or daemon")
	forks   = flag.Int("forks", 0, "children in the same process group")
	daemons = flag.Int("daemons", 0, "children by a double fork, each in a session of its own")
	ignore  = flag.Bool("ignore", false, "ignore TERM, INT and HUP")
	linger  = flag.Duration("linger", 0, "live on so long after a TERM")
	lives   = flag.Duration("for", 0, "exit so long after the start; 0: never")
)

func main() {
	started := stamp()
	flag.Parse()
	begins := *role == "main" || *role == "fence"
	if !begins {
		inheritLock()
	}
	if *ignore || *role == "daemon" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if *role == "between" { // of the two forks
		must(child("daemon", true).Start())
		return
	}
	term := make(chan os.Signal, 1)
	if *linger > 0 {
		signal.Notify(term, syscall.SIGTERM)
	}
	me := announcement{Role: *role, Started: started, ID: os.Getenv("ZKELECT_ID"), Path: os.Getenv("ZKELECT_PATH"), Node: os.Getenv("ZKELECT_NODE")}
	me.Token, _ = strconv.ParseInt(os.Getenv("ZKELECT_FENCING_TOKEN"), 10, 64)
	if begins {
		me.Overlap = !takeLock(filepath.Base(me.Path))
	}
	file, err := os.CreateTemp(*dir, "stamps-")
	must(err)
	me.Stamps = file.Name()
	write(file)
	announce(me)

	for range *forks {
		must(child("fork", false).Start())
	}
	for range *daemons {
		// One that is stopped by a signal before it can ignore it leaves no daemon.
		var exit *exec.ExitError
		if err := child("between", false).Run(); !errors.As(err, &exit) || exit.Exited() {
			must(err)
		}
	}
	var over <-chan time.Time
	if *lives > 0 && begins {
		over = time.After(*lives)
	}
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			write(file)
		case <-term:
			over = time.After(*linger)
		case <-over:
			os.Exit(0)
		}
	}
}

// held is what must stay open until our death, out of the collector's sight.
var held struct {
	lock    *os.File
	harness net.Conn
}

// takeLock takes the lock of the election, which is shared by all processes of a
// tree as one open file: the kernel drops it with the last of them and not a
// moment before. It tells whether it was free.
func takeLock(election string) bool {
	var err error
	held.lock, err = os.OpenFile(filepath.Join(*dir, "lock-"+election), os.O_CREATE|os.O_RDWR, 0o666)
	must(err)
	return unix.Flock(int(held.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// inheritLock takes it over from the process that started us.
func inheritLock() {
	held.lock = os.NewFile(3, "lock")
	syscall.CloseOnExec(3)
}

func child(role string, session bool) *exec.Cmd {
	args := []string{"-dir", *dir, "-role", role}
	if *ignore {
		args = append(args, "-ignore")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.ExtraFiles = []*os.File{held.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
	return cmd
}

// announce leaves the connection open: the kernel closes it at our death.
func announce(me announcement) {
	c, err := net.Dial("unix", filepath.Join(*dir, "harness"))
	must(err)
	line, err := json.Marshal(me)
	must(err)
	_, err = c.Write(append(line, '\n'))
	must(err)
	held.harness = c
}

func write(file *os.File) {
	_, err := file.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(stamp())), 0)
	must(err)
}

func stamp() int64 {
	var ts unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts))
	return ts.Nano()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(99)
	}
}
