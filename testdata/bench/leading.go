package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// usualSession is zkelect's own session timeout.
const usualSession = 30 * time.Second

// ledSizes are how many elections are led at once, and how many with each of several
// session timeouts.
func (b *bench) ledSizes() (sizes []int, many int, sessions []time.Duration) {
	if b.small {
		return []int{1, 10}, 10, []time.Duration{12 * time.Second, usualSession}
	}
	return []int{1, 100, 1000, 5000}, 1000, []time.Duration{6 * time.Second, 12 * time.Second, usualSession, time.Minute}
}

// ledAtOnce measures what a server has to do for the heartbeats of leaders.
func (b *bench) ledAtOnce() error {
	sizes, many, sessions := b.ledSizes()
	if err := b.capacity(); err != nil {
		return fmt.Errorf("capacity: %w", err)
	}
	before := 0.0
	for _, n := range sizes {
		if err := fits(n, before); err != nil {
			b.note("elections", err.Error()+".")
			continue
		}
		label := fmt.Sprintf("led-%d", n)
		if err := b.leaders(label, n, usualSession); err != nil {
			return fmt.Errorf("%d elections: %w", n, err)
		}
		before = b.stats(label, "led.resident").median
	}
	for _, session := range sessions {
		label := fmt.Sprintf("led-%v", session)
		if session == usualSession { // it has been measured
			b.mu.Lock()
			b.samples[label] = b.samples[fmt.Sprintf("led-%d", many)]
			b.mu.Unlock()
			continue
		}
		if err := b.leaders(label, many, session); err != nil {
			return fmt.Errorf("%d elections with a session of %v: %w", many, session, err)
		}
	}
	return nil
}

// leaders has n elections led at once, on a server of their own.
func (b *bench) leaders(label string, n int, session time.Duration) error {
	server, stop, err := b.launchOwn(label)
	if err != nil {
		return err
	}
	defer stop()
	t := b.newThrong()
	defer t.close()
	began := time.Now()
	if err := t.add(n, "-path", "/bench/"+label, "-apart", "-session", session.String(), "-servers", server.Addr()); err != nil {
		return err
	}
	for range n {
		if _, err := t.hear("started", scaleBound); err != nil {
			return err
		}
	}
	b.add(label, "led.start", time.Since(began).Seconds())
	conn, err := b.connect(server.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := makeNode(conn, "/bench/other"); err != nil {
		return err
	}
	rhythm, window := min(session/10, 3*time.Second), 12*time.Second
	if b.small {
		rhythm, window = 100*time.Millisecond, time.Second
	}
	time.Sleep(rhythm)

	before, err := readCounters(server)
	if err != nil {
		return err
	}
	b.add(label, "led.nodes", before["zk_znode_count"]/float64(n))
	b.add(label, "led.data", before["zk_approximate_data_size"]/float64(n))
	b.add(label, "led.watches", before["zk_watch_count"]/float64(n))
	cpu, clients, since := cpuOf(server.Pid()), t.cpu(), time.Now()
	for time.Since(since) < window { // what another client of the ensemble feels
		asked := time.Now()
		if _, err := conn.Set("/bench/other", []byte("x"), -1); err != nil {
			return fmt.Errorf("set: %w", err)
		}
		b.add(label, "led.latency", millis(time.Since(asked)))
		time.Sleep(25 * time.Millisecond)
	}
	after, err := readCounters(server)
	if err != nil {
		return err
	}
	took := time.Since(since).Seconds()
	writes := after["zk_cnt_updatelatency"] - before["zk_cnt_updatelatency"]
	own := float64(b.stats(label, "led.latency").n)
	b.add(label, "led.writes/s", (writes-own)/took)
	b.add(label, "led.requests/s", (after["zk_packets_received"]-before["zk_packets_received"]-own)/took)
	b.add(label, "led.cpu", (cpuOf(server.Pid())-cpu).Seconds()/took*100)
	b.add(label, "led.clients.cpu", (t.cpu()-clients).Seconds()/took*100)
	b.add(label, "led.resident", t.resident()/float64(n))
	b.add(label, "led.server.resident", memoryOf(server.Pid(), 0).resident)
	for len(t.said) > 0 {
		if w := <-t.said; w.what == "lost" {
			t.lost++
		}
	}
	b.add(label, "led.lost", float64(t.lost))
	return nil
}

// capacityLabel has how many heartbeats a second the server answers at the most.
const capacityLabel = "capacity"

// capacity has many sessions send what a heartbeat is, each as fast as it is answered,
// beside the server and on its machine.
func (b *bench) capacity() error {
	server, stop, err := b.launchOwn(capacityLabel)
	if err != nil {
		return err
	}
	defer stop()
	return b.beat(capacityLabel, server.Addr())
}

func (b *bench) beat(label, servers string) error {
	const sessions, eachAtOnce = 16, 16
	var conns []*zk.Conn
	for range sessions {
		conn, err := b.connect(servers)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	if err := makeNode(conns[0], "/bench/beat"); err != nil {
		return err
	}
	window := 5 * time.Second
	if b.small {
		window = 500 * time.Millisecond
	}
	var beats atomic.Int64
	var running sync.WaitGroup
	failed := make(chan error, sessions*eachAtOnce)
	var counting atomic.Bool
	until := time.Now().Add(2 * window) // the first half is for the server's compiler
	time.AfterFunc(window, func() { counting.Store(true) })
	for _, conn := range conns {
		for range eachAtOnce {
			running.Go(func() {
				for time.Now().Before(until) {
					_, err := conn.Multi(&zk.CheckVersionRequest{Path: "/bench/beat", Version: -1}, &zk.CheckVersionRequest{Path: "/bench", Version: -1})
					if err != nil {
						failed <- err
						return
					}
					if counting.Load() {
						beats.Add(1)
					}
				}
			})
		}
	}
	running.Wait()
	if len(failed) > 0 {
		return <-failed
	}
	b.add(label, "writes/s", float64(beats.Load())/window.Seconds())
	return nil
}
