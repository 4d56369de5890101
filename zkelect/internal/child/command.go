//go:build unix

package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrNotFound means that there is no such command: a shell's 127.
	ErrNotFound = errors.New("command not found")
	// ErrNotExecutable means that the command is there and can't be run: a shell's 126.
	ErrNotExecutable = errors.New("cannot execute")
)

// Command says what to run.
type Command struct {
	Path string   // the program, from Look
	Args []string // argv; Args[0] is the name as it was given
	Env  []string // nil: the environment of this process
	Dir  string   // "": the working directory of this process; Path is never relative to it

	Stdin, Stdout, Stderr *os.File // for Start alone; see GuardOptions

	// NoInput gives it an empty standard input, and not the terminal, instead of
	// the guard's.
	NoInput bool

	// StopSignal is the first signal of a stop; 0 means SIGTERM.
	StopSignal syscall.Signal

	foreground bool // of the terminal, which is lent by someone else
}

// Status says how the main process ended.
type Status struct {
	Code   int            // its exit code, or 128+n after signal n; -1 while it runs
	Signal syscall.Signal // the signal that killed it; 0 if it exited
}

func (s Status) String() string {
	switch {
	case s.Signal != 0:
		return "signal: " + s.Signal.String()
	case s.Code < 0:
		return "running"
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

func statusOf(ws syscall.WaitStatus) Status {
	if ws.Signaled() {
		return Status{Code: 128 + int(ws.Signal()), Signal: ws.Signal()}
	}
	return Status{Code: ws.ExitStatus()}
}

// prepared returns the command with its defaults filled in.
func (c Command) prepared() (Command, error) {
	if len(c.Args) == 0 {
		c.Args = []string{c.Path}
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.StopSignal == 0 {
		c.StopSignal = syscall.SIGTERM
	}
	if c.Dir == "" {
		return c, nil
	}
	// A bad directory and a bad program give the same errno after the fork.
	if info, err := os.Stat(c.Dir); err != nil {
		return c, fmt.Errorf("change to working directory: %w", err)
	} else if !info.IsDir() {
		return c, fmt.Errorf("change to working directory: %s: %w", c.Dir, syscall.ENOTDIR)
	}
	if err := eaccess(c.Dir); err != nil {
		return c, fmt.Errorf("change to working directory: %s: %w", c.Dir, err)
	}
	path, err := filepath.Abs(c.Path)
	c.Path = path
	return c, err
}

// execError turns what ForkExec returned into an error that says whose fault it is.
func execError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		if _, statErr := os.Stat(path); statErr != nil {
			return fmt.Errorf("%s: %w: %w; check its path", path, ErrNotFound, err)
		}
		return fmt.Errorf("%s: %w: the interpreter in its first line, or its loader, is missing; install that or mend the line", path, ErrNotExecutable)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s: %w: %w; a script needs a first line like #!/bin/sh, a program the right architecture", path, ErrNotExecutable, err)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("%s: %w: %w; pass fewer or shorter arguments and variables", path, ErrNotExecutable, err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		// Nothing wrong with the command: the system is short of something.
		return fmt.Errorf("start %s: %w; raise the limit (ulimit -a) or end other processes", path, err)
	}
	return fmt.Errorf("%s: %w: %w; check its permissions, its interpreter's and the mount options", path, ErrNotExecutable, err)
}
