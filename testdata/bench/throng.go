package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// perProcess is how many sessions a process of the library's participants has.
const perProcess = 2500

// throng is participants of the library in a few processes.
type throng struct {
	b     *bench
	parts []*part
	said  chan word
	now   word // of who leads
	lost  int
}

type part struct {
	cmd *exec.Cmd
	in  *bufio.Writer
}

// word is a line that one of the processes has written.
type word struct {
	part *part
	what string
	at   int64
}

func (b *bench) newThrong() *throng { return &throng{b: b, said: make(chan word, 100_000)} }

// add starts n more participants.
func (t *throng) add(n int, args ...string) error {
	for n > 0 {
		now := min(n, perProcess)
		n -= now
		cmd := exec.Command(t.b.built("crowd"), append([]string{"-n", strconv.Itoa(now)}, args...)...)
		cmd.Env, cmd.Stderr = t.b.env, os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := start(cmd); err != nil {
			return err
		}
		p := &part{cmd: cmd, in: bufio.NewWriter(in)}
		t.parts = append(t.parts, p)
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				w := word{part: p}
				what, at, _ := strings.Cut(lines.Text(), " ")
				w.what = what
				w.at, _ = strconv.ParseInt(at, 10, 64)
				t.said <- w
			}
		}()
	}
	return nil
}

// scaleBound is for what thousands do.
const scaleBound = 5 * time.Minute

// enoughMemory is what is left to others, in kB.
const enoughMemory = 1 << 20

// queued starts n participants of one election, the first of which leads, and waits until
// the others wait.
func (t *throng) queued(n int, args ...string) error {
	if err := t.add(n, args...); err != nil {
		return err
	}
	waiting, first := n, t.now.part == nil
	if first {
		waiting--
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for timeout := time.After(scaleBound); waiting > 0 || first; {
		select {
		case <-look.C:
			if left := memoryLeft(); left < enoughMemory {
				return fmt.Errorf("%w: %s MiB, with %d still to come", errMemory, number(math.Round(left/1024)), waiting)
			}
		case w := <-t.said:
			switch w.what { // the words of one may come before those of another that was sooner
			case "started":
				t.now, first = w, false
			case "waiting":
				waiting--
			case "lost":
				t.lost++
			}
		case <-timeout:
			return fmt.Errorf("not in the queue within %v: %d of %d (%d have lost a session)", scaleBound, waiting, n, t.lost)
		}
	}
	return nil
}

// hear returns the next word of that kind.
func (t *throng) hear(what string, bound time.Duration) (word, error) {
	timeout := time.After(bound)
	for {
		select {
		case w := <-t.said:
			if w.what == "lost" {
				t.lost++
			}
			if w.what == what {
				return w, nil
			}
		case <-timeout:
			return word{}, fmt.Errorf("not within %v: %s (%d have lost a session)", bound, what, t.lost)
		}
	}
}

// tell ends the work of a participant of that process.
func (p *part) tell() error {
	if err := p.in.WriteByte('\n'); err != nil {
		return err
	}
	return p.in.Flush()
}

func (t *throng) close() {
	for _, p := range t.parts {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range t.parts {
		_ = p.cmd.Wait()
	}
}

// resident is what all of the processes hold, in kB.
func (t *throng) resident() (kB float64) {
	for _, p := range t.parts {
		kB += memoryOf(p.cmd.Process.Pid, 0).resident
	}
	return kB
}

func (t *throng) cpu() (used time.Duration) {
	for _, p := range t.parts {
		used += cpuOf(p.cmd.Process.Pid)
	}
	return used
}

// turn ends the leader's work, and waits for the next one's and for the old leader's
// being in the queue again. Words of two processes come in any order.
func (t *throng) turn(took func(ms float64)) error {
	if err := t.now.part.tell(); err != nil {
		return err
	}
	var ended, started, waits bool
	var end int64
	for timeout := time.After(scaleBound); !ended || !started || !waits; {
		select {
		case w := <-t.said:
			switch w.what {
			case "ended":
				ended, end = true, w.at
			case "started":
				started, t.now = true, w
			case "waiting":
				waits = true
			case "lost":
				t.lost++
			}
		case <-timeout:
			return fmt.Errorf("no turn within %v: ended %v, started %v, waits again %v (%d have lost a session)", scaleBound, ended, started, waits, t.lost)
		}
	}
	if took != nil {
		took(millis(time.Duration(t.now.at - end)))
	}
	return nil
}

// turns are several, none of which counts.
func (t *throng) turns(n int) error {
	for range n {
		if err := t.turn(nil); err != nil {
			return err
		}
	}
	return nil
}
