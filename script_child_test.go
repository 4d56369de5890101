package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"zkelect/zkelect/zktest"
)

// childMain is the command `child` of the scripts: what a zkelect runs. While
// it lives it writes the time, by the clock that all processes of the host
// share, into a file of its own in $STAMPS, and holds a lock there, which the
// kernel drops at its death, not a moment earlier or later.
func childMain() {
	lives := flag.Duration("for", 2*time.Minute, "live so long, then exit")
	code := flag.Int("exit", 0, "the exit code")
	linger := flag.Duration("linger", -1, "after a TERM live on so long, then exit")
	ignore := flag.String("ignore", "", "signals to ignore, such as TERM,INT")
	catch := flag.String("catch", "", "signals to tell on standard output and live on")
	ask := flag.String("ask", "", "at a TERM or INT, tell on standard output what this URL answers, then exit")
	serve := flag.String("serve", "", "answer HTTP there")
	daemon := flag.Bool("daemon", false, "leave a daemon behind that ignores TERM: double fork, new session")
	locked := flag.Bool("locked", false, "descriptor 3 is the lock: the daemon")
	leave := flag.Bool("leave", false, "start the daemon and exit: between the two forks")
	flag.Parse()

	if *leave {
		childDaemon(*lives)
		return
	}
	if *ignore != "" {
		signal.Ignore(childSignals(*ignore)...)
	}
	caught := make(chan os.Signal, 16)
	if *catch != "" {
		signal.Notify(caught, childSignals(*catch)...)
	}
	term := make(chan os.Signal, 1)
	if *linger >= 0 {
		signal.Notify(term, syscall.SIGTERM)
	}
	asks := make(chan os.Signal, 1)
	if *ask != "" {
		signal.Notify(asks, syscall.SIGTERM, syscall.SIGINT)
	}
	s := newStamper(*locked)
	if *serve != "" {
		go childServes(*serve)
	}
	if *daemon {
		childFork(s.lock, *lives)
	}
	over := time.After(*lives)
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		s.stamp()
		select {
		case <-tick.C:
		case sig := <-caught:
			fmt.Println("got", strings.TrimPrefix(childSignalName(sig), "SIG"))
		case sig := <-asks:
			fmt.Println("got", childSignalName(sig))
			childAsks(*ask)
			os.Exit(*code)
		case <-term:
			over = time.After(*linger)
		case <-over:
			os.Exit(*code)
		}
	}
}

var childSignalNames = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
	"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "TSTP": syscall.SIGTSTP,
}

func childSignals(names string) (sigs []os.Signal) {
	for name := range strings.SplitSeq(names, ",") {
		sig, ok := childSignalNames[name]
		if !ok {
			childFail(fmt.Errorf("unknown signal %q", name))
		}
		sigs = append(sigs, sig)
	}
	return sigs
}

func childSignalName(sig os.Signal) string {
	for name, s := range childSignalNames {
		if s == sig {
			return name
		}
	}
	return sig.String()
}

func childFail(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(99)
}

// childFork starts the process between the two forks, and waits for it to have
// left the daemon to whoever reaps orphans.
func childFork(lock *os.File, lives time.Duration) {
	between := exec.Command("child", "-leave", "-for", lives.String())
	between.Stdout, between.Stderr = os.Stdout, os.Stderr
	between.ExtraFiles = []*os.File{lock}
	if err := between.Run(); err != nil {
		childFail(err)
	}
}

func childDaemon(lives time.Duration) {
	d := exec.Command("child", "-locked", "-ignore", "TERM,HUP,INT", "-for", lives.String())
	d.Stdout, d.Stderr = os.Stdout, os.Stderr
	d.ExtraFiles = []*os.File{os.NewFile(3, "lock")}
	d.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.Start(); err != nil {
		childFail(err)
	}
}

// A stamper keeps the record of one process: the times of its first and its
// last sign of life, its term's token and id, and its pid.
type stamper struct {
	file, lock *os.File
	begin      int64
}

// stampFormat has fixed widths, so that the last stamp is written in place.
const stampFormat = "%020d %020d %020s %07d %s\n"

func newStamper(locked bool) *stamper {
	dir := os.Getenv("STAMPS")
	s := &stamper{begin: childBegin()}
	if locked {
		s.lock = os.NewFile(3, "lock")
	} else {
		var err error
		if s.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o666); err != nil {
			childFail(err)
		}
		if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			note := fmt.Sprintf("%s started at %d while another child was alive\n", os.Getenv("ZKELECT_ID"), s.begin)
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("overlap-%d", s.begin)), []byte(note), 0o666); err != nil {
				childFail(err)
			}
		}
	}
	// Whoever sees the file sees a stamp in it.
	name := fmt.Sprintf("%d-%d", s.begin, os.Getpid())
	var err error
	if s.file, err = os.Create(filepath.Join(dir, "new-"+name)); err != nil {
		childFail(err)
	}
	s.stamp()
	if err := os.Rename(s.file.Name(), filepath.Join(dir, "term-"+name)); err != nil {
		childFail(err)
	}
	return s
}

func (s *stamper) stamp() {
	line := fmt.Appendf(nil, stampFormat, s.begin, zktest.Stamp(), os.Getenv("ZKELECT_FENCING_TOKEN"), os.Getpid(), os.Getenv("ZKELECT_ID"))
	if _, err := s.file.WriteAt(line, 0); err != nil {
		childFail(err)
	}
}

// childBegin is when this process was started: as the kernel has it, in
// hundredths of a second, rounded up, unless we are here sooner. Never too
// early, so that what looks like two children alive at a time is that.
func childBegin() int64 {
	now := zktest.Stamp()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		childFail(err)
	}
	// Field 22; the second may hold spaces and brackets.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	if err != nil {
		childFail(err)
	}
	return min(now, (ticks+1)*int64(time.Second/100))
}
