package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"zkelect/zkelect/zktest"
)

// liveLabel is the floor without the start of a program.
const liveLabel = "floor-live"

// runs measures `true` under a free lock.
func (b *bench) runs() error {
	floor := b.contenders[0]
	path := "/bench/run-" + liveLabel
	if err := b.prepare(floor, path); err != nil {
		return err
	}
	live, err := b.newLive(floor, path)
	if err != nil {
		return err
	}
	defer live.close()
	err = b.runsOf(b.contenders, b.rounds(40), func(keep bool) error {
		took, err := live.once()
		if keep {
			b.add(liveLabel, "run.wall", millis(took))
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.peaksOf(b.contenders, b.rounds(10))
}

// runsOf runs `true` by each of them in turn, and something else before each round.
func (b *bench) runsOf(cs []*contender, rounds int, first func(keep bool) error) error {
	for _, c := range cs {
		if err := b.prepare(c, runPath(c)); err != nil {
			return err
		}
	}
	for round := range b.warmUp() + rounds {
		keep := round >= b.warmUp()
		if err := first(keep); err != nil {
			return err
		}
		for _, c := range rotated(cs, round) {
			r, err := b.runTrue(c)
			if err != nil {
				return err
			}
			if keep {
				b.add(c.label, "run.wall", millis(r.own))
				b.add(c.label, "run.all", millis(r.all))
				b.add(c.label, "run.cpu", millis(r.cpu))
				b.add(c.label, "run.peak", r.peak)
			}
		}
	}
	return nil
}

func runPath(c *contender) string { return "/bench/run-" + c.label }

// nothing is the command that costs the least.
const nothing = "/bin/true"

func (b *bench) runTrue(c *contender) (ran, error) {
	return b.measure(c.argv(b, c, b.serverOf(c), runPath(c), []string{nothing}))
}

// peaksOf looks at what all processes of a run hold at one instant, in runs of its own,
// since to look takes time.
func (b *bench) peaksOf(cs []*contender, rounds int) error {
	for range rounds {
		for _, c := range cs {
			line, said, err := b.probed("peak", append([]string{nothing}, c.argv(b, c, b.serverOf(c), runPath(c), []string{nothing})...))
			if err != nil {
				return err
			}
			var code, processes, looks int
			var resident, proportional float64
			if _, err := fmt.Sscanf(line, "peak %d %f %f %d %d", &code, &resident, &proportional, &processes, &looks); err != nil || code != 0 {
				return fmt.Errorf("%s: %q: %v: %s", c.label, line, err, said)
			}
			b.add(c.label, "run.peak.all", resident)
			b.add(c.label, "run.peak.proportional", proportional)
			b.add(c.label, "run.peak.processes", float64(processes))
		}
	}
	return nil
}

// rotated begins with another one each round: what comes first has the machine in another
// state than what follows.
func rotated[T any](all []T, round int) []T {
	n := round % len(all)
	return append(all[n:len(all):len(all)], all[:n]...)
}

// ran is what a command took, as `probe run` has it.
type ran struct {
	own, all, cpu time.Duration
	peak          float64 // kB, of the largest process
	begin         int64
}

func (b *bench) measure(argv []string) (r ran, err error) {
	line, said, err := b.probed("run", argv)
	if err != nil {
		return r, err
	}
	var code, own, all, cpu int64
	if _, err := fmt.Sscanf(line, "ran %d %d %d %d %f %d", &code, &own, &all, &cpu, &r.peak, &r.begin); err != nil {
		return r, fmt.Errorf("%q: %w", line, err)
	}
	if code != 0 {
		return r, fmt.Errorf("%s: exit %d: %s", strings.Join(argv, " "), code, said)
	}
	r.own, r.all, r.cpu = time.Duration(own), time.Duration(all), time.Duration(cpu)*time.Microsecond
	return r, nil
}

// probed is what the probe tells of a command, and what the command has said.
func (b *bench) probed(how string, argv []string) (line, said string, err error) {
	out, err := os.CreateTemp(b.dir, "probed-")
	if err != nil {
		return "", "", err
	}
	file := out.Name()
	defer os.Remove(file)
	if err := out.Close(); err != nil {
		return "", "", err
	}
	p, err := b.launch(append([]string{b.built("probe"), how, file}, argv...))
	if err != nil {
		return "", "", err
	}
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		return "", "", fmt.Errorf("%s: it does not end", strings.Join(argv, " "))
	}
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return "", "", fmt.Errorf("%s: %v: %s", strings.Join(p.cmd.Args, " "), err, &p.said)
	}
	return string(text), p.said.String(), nil
}

// live is a floor that does its work again and again.
type live struct {
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Scanner
}

func (b *bench) newLive(c *contender, path string) (*live, error) {
	argv := c.argv(b, c, b.zk.Addr(), path, []string{"/bin/true"})
	cmd := exec.Command(argv[0], append([]string{"serve"}, argv[1:]...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &live{cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}, start(cmd)
}

func (l *live) once() (time.Duration, error) {
	if _, err := fmt.Fprintln(l.in); err != nil {
		return 0, err
	}
	if err := l.in.Flush(); err != nil {
		return 0, err
	}
	if !l.out.Scan() {
		return 0, fmt.Errorf("the floor has ended: %v", l.out.Err())
	}
	var ns int64
	_, err := fmt.Sscan(l.out.Text(), &ns)
	return time.Duration(ns), err
}

func (l *live) close() {
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
}

// exchange is what a run says to its server.
func (b *bench) exchanges() error {
	for _, c := range b.contenders {
		if c.server == noServer {
			continue
		}
		path := "/bench/exchange-" + c.label
		if err := b.prepare(c, path); err != nil {
			return err
		}
		for round := range b.warmUp() + 1 {
			proxy, err := b.proxy(c)
			if err != nil {
				return err
			}
			_, err = b.measure(c.argv(b, c, proxy.Addr(), path, []string{"/bin/true"}))
			up, down := proxy.Traffic()
			requests, _ := proxy.sent()
			proxy.Close()
			if err != nil {
				return err
			}
			if round >= b.warmUp() {
				b.add(c.label, "exchange.bytes", float64(up+down))
				b.add(c.label, "exchange.requests", float64(requests))
			}
		}
	}
	return nil
}

// spoken leaves out what comes by the clock.
func spoken(op zktest.Op) bool { return op.Type != zktest.Ping }

// timeline has zkelect's own requests, in their order, with the times after its start.
func (b *bench) timeline() error {
	c := b.contender(zkelectLabel)
	path := "/bench/timeline"
	if err := b.prepare(c, path); err != nil {
		return err
	}
	for round := range b.warmUp() + b.rounds(20) {
		proxy, err := zktest.OpenProxy(b.zk.Addr())
		if err != nil {
			return err
		}
		mark := filepath.Join(b.dir, "mark")
		_ = os.Remove(mark)
		r, err := b.measure(c.argv(b, c, proxy.Addr(), path, []string{b.built("probe"), "mark", mark}))
		requests := proxy.Requests(spoken)
		proxy.Close()
		if err != nil {
			return err
		}
		var child int64
		text, err := os.ReadFile(mark)
		if err != nil {
			return err
		}
		if _, err := fmt.Sscanf(string(text), "mark %d", &child); err != nil {
			return err
		}
		if round < b.warmUp() {
			continue
		}
		seen := map[string]int{}
		for _, q := range requests {
			what := wordsOf(q.Op, path)
			seen[what]++
			if seen[what] > 1 {
				what = fmt.Sprintf("%s (%d)", what, seen[what])
			}
			b.add("timeline", what, millis(time.Duration(q.At.Boot-r.begin)))
		}
		b.add("timeline", "**CMD's first instant**", millis(time.Duration(child-r.begin)))
		b.add("timeline", "**exit**", millis(r.own))
	}
	return nil
}

// wordsOf shortens what differs from run to run.
func wordsOf(op zktest.Op, path string) string {
	if len(op.Ops) > 0 {
		var parts []string
		for _, part := range op.Ops {
			parts = append(parts, wordsOf(part, path))
		}
		return "multi: " + strings.Join(parts, ", ")
	}
	name, _, _ := strings.Cut(op.String(), " ")
	if op.Path == "" {
		return name
	}
	dir, base := filepath.Split(op.Path)
	if strings.HasPrefix(base, "_c_") {
		base = "OWN NODE"
	}
	shown := strings.Replace(dir+base, path, "PATH", 1)
	shown = strings.Replace(shown, filepath.Dir(path)+"/.zkelect-"+filepath.Base(path), "SIDE NODE", 1)
	return name + " `" + shown + "`"
}
