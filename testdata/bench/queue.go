package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"zkelect/zkelect/zktest"
)

// queueSizes are how many wait in one election.
func (b *bench) queueSizes() []int {
	if b.small {
		return []int{fewest, 20}
	}
	return []int{fewest, 100, 1000, 10_000}
}

// fewest is what the others are compared with.
const fewest = 2

// queues measures one election with more and more that wait.
func (b *bench) queues() error {
	before := 0.0
	for _, n := range b.queueSizes() {
		if err := fits(n, before); err != nil {
			b.note("queue", err.Error()+".")
			continue
		}
		if err := b.queueOf(n); err != nil {
			return fmt.Errorf("%d waiters: %w", n, err)
		}
		before = b.stats(strconv.Itoa(n), "queue.resident").median
	}
	return nil
}

// errMemory: more participants would take what the machine and its other users need.
var errMemory = errors.New("there was hardly memory left")

// memoryLeft is what nobody uses, in kB.
func memoryLeft() float64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return field(info, "MemAvailable:")
}

// fits tells of n participants for which there is no memory, if they take what each of
// fewer took.
func fits(n int, kBEach float64) error {
	const share = 0.85 // of what is free now
	need, free := float64(n)*kBEach, memoryLeft()
	if need <= share*free {
		return nil
	}
	return fmt.Errorf("%s were left out: they would take %s GiB of memory, and %s were free", number(float64(n)), number(need/(1<<20)), number(free/(1<<20)))
}

// note is for what a block of the page lacks, or has otherwise.
func (b *bench) note(block, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes[block] = append(b.notes[block], text)
}

// raiseFiles lets this process, and what it starts, have as many open files as a server
// of 20,000 connections needs, and returns how many that are.
func raiseFiles() uint64 {
	const enough = 50_000
	want := syscall.Rlimit{Cur: enough, Max: enough}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want) == nil { // for root alone
		return enough
	}
	var have syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have) // then there are none
	return have.Max
}

// queueSession is that of all who stand in these queues.
const queueSession = time.Minute

// queueOf has a leader and n that wait, on a server of their own, and then beside them the
// floor with as many, and two waiters of each, whose turns are taken in between.
func (b *bench) queueOf(n int) (err error) {
	server, stop, err := b.launchOwn(fmt.Sprintf("queue-%d", n))
	if err != nil {
		return err
	}
	defer stop()
	path, label := fmt.Sprintf("/bench/queue-%d", n), strconv.Itoa(n)
	many := b.newThrong()
	defer many.close()
	proxy, err := zktest.OpenProxy(server.Addr())
	if err != nil {
		return err
	}
	defer proxy.Close()
	counted := min(4, n+1) // at least one before and one after each counted turn
	if b.small {
		counted = 2
	}
	if err := many.queued(counted, "-path", path, "-session", queueSession.String(), "-servers", proxy.Addr()); err != nil {
		return err
	}
	b.add(label, "queue.join.requests", float64(len(proxy.Requests(spoken)))/float64(counted))
	if direct := n + 1 - counted; direct > 0 {
		began := time.Now()
		err := many.queued(direct, "-path", path, "-session", queueSession.String(), "-servers", server.Addr())
		if errors.Is(err, errMemory) {
			b.note("queue", fmt.Sprintf("%s were given up: %v.", number(float64(n)), err))
			return nil
		}
		if err != nil {
			return err
		}
		b.add(label, "queue.join", millis(time.Since(began))/float64(direct))
	}
	if err := b.idle(label, n+1, server, many); err != nil {
		return err
	}
	if err := b.countTurns(label, counted-1, server, proxy, many); err != nil {
		return err
	}
	if err := b.timeTurns(label, n, server, path, many); err != nil {
		return err
	}
	b.add(label, "queue.lost", float64(many.lost))
	return b.statusOf(label, server, path)
}

// idle measures what server and participants hold and do while nothing happens.
func (b *bench) idle(label string, n int, server *zktest.Server, t *throng) error {
	before, err := readCounters(server)
	if err != nil {
		return err
	}
	window := queueSession / pingsPerSession // so that each pings once
	if b.small {
		window = 200 * time.Millisecond
	}
	cpu, clients, since := cpuOf(server.Pid()), t.cpu(), time.Now()
	time.Sleep(window)
	took := time.Since(since).Seconds()
	b.add(label, "queue.server.cpu", (cpuOf(server.Pid())-cpu).Seconds()/took*100)
	b.add(label, "queue.clients.cpu", (t.cpu()-clients).Seconds()/took*100)
	after, err := readCounters(server)
	if err != nil {
		return err
	}
	b.add(label, "queue.pings", (after["zk_packets_received"]-before["zk_packets_received"]-1)/took)
	b.add(label, "queue.nodes", after["zk_znode_count"]/float64(n))
	b.add(label, "queue.watches", after["zk_watch_count"]/float64(n))
	b.add(label, "queue.server.resident", memoryOf(server.Pid(), 0).resident)
	b.add(label, "queue.all.resident", t.resident())
	b.add(label, "queue.resident", t.resident()/float64(n))
	return nil
}

// countTurns counts the requests of turns that are taken through a proxy.
func (b *bench) countTurns(label string, turns int, server *zktest.Server, proxy *zktest.Proxy, t *throng) error {
	before, err := readCounters(server)
	if err != nil {
		return err
	}
	rest := settle
	if b.small {
		rest /= 6
	}
	for range turns {
		time.Sleep(rest)
		proxy.Forget()
		if err := t.turn(nil); err != nil {
			return err
		}
		time.Sleep(rest)
		b.add(label, "queue.turn.requests", float64(len(proxy.Requests(spoken))))
	}
	after, err := readCounters(server)
	if err != nil {
		return err
	}
	fired := after["zk_sum_node_deleted_watch_count"] - before["zk_sum_node_deleted_watch_count"]
	b.add(label, "queue.turn.woken", fired/float64(turns))
	return nil
}

// timeTurns times turns, those of a queue and those that they are compared with, one
// after the other.
func (b *bench) timeTurns(label string, n int, server *zktest.Server, path string, many *throng) (err error) {
	other := server
	if need := uint64(2*n + 500); need > b.files {
		b.note("queue", fmt.Sprintf("The floor with %s has a server of its own, since one may open no more than %d files here.", number(float64(n)), b.files))
		var stop func()
		if other, stop, err = b.launchOwn(fmt.Sprintf("queue-floor-%d", n)); err != nil {
			return err
		}
		defer stop()
	}
	all := []struct {
		measure string
		t       *throng
	}{{"queue.turn", many}}
	beside := func(measure string, at *zktest.Server, n int, args ...string) error {
		conn, err := b.connect(at.Addr())
		if err != nil {
			return err
		}
		defer conn.Close()
		dir := path + measure[len("queue"):]
		if err := makeNode(conn, dir); err != nil {
			return err
		}
		t := b.newThrong()
		all = append(all, struct {
			measure string
			t       *throng
		}{measure, t})
		return t.queued(n+1, append(args, "-path", dir, "-session", queueSession.String(), "-servers", at.Addr())...)
	}
	defer func() {
		for _, a := range all[1:] {
			a.t.close()
		}
	}()
	if err := beside("queue.floor", other, n, "-floor"); err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	if n > fewest {
		if err := beside("queue.few", server, fewest); err != nil {
			return err
		}
	}
	const unnoticed = 3 // of each, before the first that counts
	for _, a := range all {
		if err := a.t.turns(unnoticed); err != nil {
			return err
		}
	}
	for round := range b.rounds(30) {
		for _, a := range rotated(all, round) {
			if err := a.t.turn(func(ms float64) { b.add(label, a.measure, ms) }); err != nil {
				return fmt.Errorf("%s: %w", a.measure, err)
			}
		}
	}
	if n == fewest {
		for _, ms := range b.values(label, "queue.turn") {
			b.add(label, "queue.few", ms)
		}
	}
	return nil
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
