package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptPTY runs a command on a terminal of its own, as a login does, and
// follows a file, line by line:
//
//	type TEXT       types it; \r, \x03 and the like as in Go
//	expect REGEXP   waits for it in what came since the last match
//	run CMD...      runs a command beside it, which must succeed
//	exit CODE       waits for the command's end
//
// What came from the terminal is stdout then.
func scriptPTY(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pty FILE CMD...")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	env := worldOf(ts).environ(ts)
	cmd := exec.Command(lookIn(ts.Getenv("PATH"), args[1]), args[2:]...)
	cmd.Env, cmd.Dir = append(env, "TERM=xterm", "PS1=outer> "), ts.MkAbs(".")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 120})
	ts.Check(err)
	s := &screen{tty: terminal, closed: make(chan struct{})}
	ended := make(chan struct{})
	go s.read()
	go func() { _ = cmd.Wait(); close(ended) }()
	defer func() {
		// Whoever still has the terminal open keeps the read from ending, and
		// after a failure that may be any of the session, in any group.
		for deadline := time.Now().Add(bound); ; {
			killSession(cmd.Process.Pid)
			select {
			case <-ended:
				select {
				case <-s.closed:
				case <-time.After(20 * time.Millisecond):
					if time.Now().Before(deadline) {
						continue
					}
					ts.Logf("the terminal is still held by another session")
				}
			case <-time.After(20 * time.Millisecond):
				continue
			}
			break
		}
		terminal.Close()
		_, _ = ts.Stdout().Write([]byte(s.text()))
	}()
	for n, line := range lines {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "", "#":
		case "type":
			err = s.typed(rest)
		case "expect":
			err = s.expect(rest)
		case "run":
			err = ts.Exec("sh", "-c", rest)
		case "exit":
			select {
			case <-ended:
				if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != rest {
					err = fmt.Errorf("exit %s", got)
				}
			case <-time.After(bound):
				err = fmt.Errorf("still alive after %v", bound)
			}
		default:
			err = fmt.Errorf("unknown command")
		}
		if err != nil {
			ts.Fatalf("%s:%d: %s: %v; on the terminal:\n%s", args[0], n+1, line, err, s.text())
		}
	}
}

// killSession kills every process of the session that leader began.
func killSession(leader int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (NAME) STATE PPID PGRP SESSION …, with anything in NAME.
		after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if session, _ := strconv.Atoi(after[3]); session == leader {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// screen is what came from a terminal.
type screen struct {
	tty    *os.File
	closed chan struct{}

	mu   sync.Mutex
	all  []byte
	seen int // what was matched so far
}

func (s *screen) read() {
	defer close(s.closed)
	for buf := make([]byte, 4096); ; {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.all = append(s.all, buf[:n]...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.all)
}

func (s *screen) typed(text string) error {
	keys, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err == nil {
		_, err = s.tty.WriteString(keys)
	}
	return err
}

func (s *screen) expect(pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		found := re.FindIndex(s.all[s.seen:])
		if found != nil {
			s.seen += found[1]
		}
		s.mu.Unlock()
		if found != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", bound)
		}
	}
}
