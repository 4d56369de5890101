package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"zkelect/zkelect/zktest"
)

// perProcess is how many sessions a process of the library's participants has.
const perProcess = 2500

// throng is participants of the library in a few processes.
type throng struct {
	b     *bench
	parts []*part
	said  chan word
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

// queueSizes are how many wait in one election.
func (b *bench) queueSizes() []int {
	if b.small {
		return []int{2, 20}
	}
	return []int{2, 100, 1000, 10_000}
}

// queues measures one election with more and more that wait.
func (b *bench) queues() error {
	before := 0.0
	for _, n := range b.queueSizes() {
		if err := fits(n, before); err != nil {
			b.missing("queue", err)
			continue
		}
		if err := b.queueOf(n); err != nil {
			return fmt.Errorf("%d waiters: %w", n, err)
		}
		before = b.stats(strconv.Itoa(n), "queue.resident").median
	}
	return nil
}

// fits tells of n participants for which there is no memory, if they take what each of
// fewer took.
func fits(n int, kBEach float64) error {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	const share = 0.85 // of what is free now
	need, free := float64(n)*kBEach, field(info, "MemAvailable:")
	if need <= share*free {
		return nil
	}
	return fmt.Errorf("%s were left out: they would take %s GiB of memory, and %s were free", number(float64(n)), number(need/(1<<20)), number(free/(1<<20)))
}

// missing notes what a block of the page lacks.
func (b *bench) missing(block string, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lacks[block] = append(b.lacks[block], why.Error())
}

// scaleBound is for what thousands do.
const scaleBound = 5 * time.Minute

// queueOf has a leader and n that wait, on a server of their own. The requests of a few
// turns are counted by a proxy, which those that take them go through; the others, whose
// turns are timed, have none.
func (b *bench) queueOf(n int) (err error) {
	server, stop, err := b.launchOwn(fmt.Sprintf("queue-%d", n))
	if err != nil {
		return err
	}
	defer stop()
	proxy, err := zktest.OpenProxy(server.Addr())
	if err != nil {
		return err
	}
	defer proxy.Close()
	path := fmt.Sprintf("/bench/queue-%d", n)
	t := b.newThrong()
	defer t.close()
	args := []string{"-path", path, "-session", "60s"}
	label := strconv.Itoa(n)

	// At least one before and one after each counted turn.
	counted := min(4, n+1)
	if err := t.add(counted, append(args, "-servers", proxy.Addr())...); err != nil {
		return err
	}
	now, err := t.hear("started", patience)
	if err != nil {
		return err
	}
	for range counted - 1 {
		if _, err := t.hear("waiting", patience); err != nil {
			return err
		}
	}
	joins := proxy.Requests(spoken)
	b.add(label, "queue.join.requests", float64(len(joins))/float64(counted))
	if direct := n + 1 - counted; direct > 0 {
		began := time.Now()
		if err := t.add(direct, append(args, "-servers", server.Addr())...); err != nil {
			return err
		}
		for range direct {
			if _, err := t.hear("waiting", scaleBound); err != nil {
				return err
			}
		}
		b.add(label, "queue.join", millis(time.Since(began))/float64(direct))
	}
	state, err := readCounters(server)
	if err != nil {
		return err
	}
	b.add(label, "queue.nodes", state["zk_znode_count"]/float64(n+1))
	b.add(label, "queue.watches", state["zk_watch_count"]/float64(n+1))
	b.add(label, "queue.server.resident", memoryOf(server.Pid(), 0).resident)
	b.add(label, "queue.resident", t.resident()/float64(n+1))

	for range counted - 1 {
		time.Sleep(settle)
		proxy.Forget()
		if now, err = t.turn(now, nil); err != nil {
			return err
		}
		time.Sleep(settle)
		b.add(label, "queue.turn.requests", float64(len(proxy.Requests(spoken))))
	}
	before, err := readCounters(server)
	if err != nil {
		return err
	}
	turns := b.rounds(30)
	for range turns {
		if now, err = t.turn(now, func(ms float64) { b.add(label, "queue.turn", ms) }); err != nil {
			return err
		}
	}
	after, err := readCounters(server)
	if err != nil {
		return err
	}
	fired := after["zk_sum_node_deleted_watch_count"] - before["zk_sum_node_deleted_watch_count"]
	b.add(label, "queue.turn.woken", fired/float64(turns))
	return b.statusOf(label, server, path)
}

// turn ends the leader's work, and waits for the next one's and for the old leader's
// being in the queue again.
func (t *throng) turn(now word, took func(ms float64)) (next word, err error) {
	if err := now.part.tell(); err != nil {
		return next, err
	}
	ended, err := t.hear("ended", scaleBound)
	if err != nil {
		return next, err
	}
	if next, err = t.hear("started", scaleBound); err != nil {
		return next, err
	}
	if took != nil {
		took(millis(time.Duration(next.at - ended.at)))
	}
	_, err = t.hear("waiting", scaleBound)
	return next, err
}

// statusOf measures a look at the election.
func (b *bench) statusOf(label string, server *zktest.Server, path string) error {
	argv := func(addr string) []string {
		return []string{b.zkelect, "status", "--servers", addr, "--timeout", "120s", path}
	}
	for range b.rounds(5) {
		r, err := b.measure(argv(server.Addr()))
		if err != nil {
			return err
		}
		b.add(label, "queue.status", millis(r.own))
		b.add(label, "queue.status.peak", r.peak)
	}
	proxy, err := zktest.OpenProxy(server.Addr())
	if err != nil {
		return err
	}
	defer proxy.Close()
	if _, err := b.measure(argv(proxy.Addr())); err != nil {
		return err
	}
	up, down := proxy.Traffic()
	b.add(label, "queue.status.requests", float64(len(proxy.Requests(spoken))))
	b.add(label, "queue.status.bytes", float64(up+down))
	return nil
}
