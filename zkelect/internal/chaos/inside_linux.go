package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A run happens in processes of its own: this program again, with this variable.
// "init" is the first process of the namespaces and only reaps, "engine" does
// the run. Where there can be no namespaces the engine is started alone.
const (
	roleVar   = "CHAOS_ROLE"
	configVar = "CHAOS_CONFIG"
)

// Main is what a program that wants to use Run calls first: it does not return
// in a process that is part of a run.
func Main() {
	// Where the tools for networks are; not every user's PATH names it.
	_ = os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	switch os.Getenv(roleVar) {
	case "init":
		os.Exit(initMain())
	case "engine":
		os.Exit(engineMain())
	case "probe":
		if err := private(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// Run does a run and returns what it found. What it says meanwhile goes to out.
func Run(cfg Config, out io.Writer) (*Report, error) {
	cfg.Wired = namespaces() == nil
	encoded, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	role := "engine"
	if cfg.Wired {
		role = "init"
	}
	cmd := again(role, cfg.Wired)
	var said bytes.Buffer
	// go-zookeeper has a race of its own (its PR 35) where a connection with watches
	// is made again, which the sessions of the harness do all the time. So a race is
	// told below, unless it is that one.
	cmd.Env = append(cmd.Env, configVar+"="+string(encoded), "GORACE=exitcode=0 "+os.Getenv("GORACE"))
	cmd.Stdout = io.MultiWriter(out, &said)
	cmd.Stderr = cmd.Stdout
	// The parent-death signal is bound to the thread that forks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("chaos: the run has failed: %w", err)
	}
	for _, race := range strings.Split(said.String(), "WARNING: DATA RACE")[1:] {
		if race, _, _ = strings.Cut(race, "=================="); !strings.Contains(race, "zk.(*Conn).sendSetWatches()") {
			return nil, errors.New("chaos: a data race in the harness")
		}
	}
	b, err := os.ReadFile(filepath.Join(cfg.Out, "report.json"))
	if err != nil {
		return nil, err
	}
	r := &Report{}
	return r, json.Unmarshal(b, r)
}

// namespaces tells whether this user may have what a run with real links needs. With
// CHAOS_LOOPBACK it says no, to see how a run goes without them.
func namespaces() error {
	if os.Getenv("CHAOS_LOOPBACK") != "" {
		return errors.New("CHAOS_LOOPBACK is set")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, tool := range []string{"ip", "tc", "ss"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return again("probe", true).Run()
}

// again is this program in another role. An ordinary user becomes root of a user
// namespace.
func again(role string, namespaces bool) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if namespaces {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
	}
	return cmd
}

// initMain is the first process: it starts the engine, reaps, and ends with it.
// With it the kernel ends all that is left.
func initMain() int {
	runtime.LockOSThread()
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: furnish the namespaces:", err)
		return 1
	}
	cmd := again("engine", false)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: start the engine:", err)
		return 1
	}
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "chaos: wait:", err)
			return 1
		case pid == cmd.Process.Pid && ws.Exited():
			return ws.ExitStatus()
		case pid == cmd.Process.Pid:
			fmt.Fprintln(os.Stderr, "chaos: the engine was ended by", ws.Signal())
			return 1
		}
	}
}

// furnish gives the namespaces their own /proc, and files that go with them.
func furnish() error {
	cfg, err := config()
	if err != nil {
		return err
	}
	if err := private(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", cfg.Dir, "tmpfs", 0, "mode=0777"); err != nil {
		return fmt.Errorf("mount %s: %w", cfg.Dir, err)
	}
	return nil
}

// private parts our mounts from those of the machine and shows our processes in
// /proc. It fails in a chroot whose root is not a mount.
func private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func config() (cfg Config, err error) {
	return cfg, json.Unmarshal([]byte(os.Getenv(configVar)), &cfg)
}

// engineMain does the run and leaves what it found in the folder for it. Its
// exit code is 0 whatever was found.
func engineMain() int {
	cfg, err := config()
	if err == nil {
		err = leave(&engine{cfg: cfg, out: os.Stdout})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	return 0
}

func leave(e *engine) error {
	r := e.run()
	fmt.Fprintln(e.out, r)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.cfg.Out, "report.json"), b, 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(e.cfg.Out, "timeline.svg"))
	if err != nil {
		return err
	}
	if err := e.drawTimeline(f); err != nil {
		return err
	}
	return f.Close()
}
