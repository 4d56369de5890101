package main

import (
	"errors"
	"fmt"
	"log"
	"syscall"
	"time"

	"zkelect/zkelect/zktest"
)

// resignLabel is zkelect whose leader is asked to resign.
const resignLabel = "zkelect-resign"

// behindLabel is zkelect with more than one behind the leader: whoever has joined as the
// third or later has to learn that it is next.
const behindLabel = "zkelect-behind"

// zkelect30 is zkelect with its own session timeout.
const zkelect30 = "zkelect-30s"

// variant is a contender under another label, in elections of its own.
func (b *bench) variant(of, label string, session time.Duration) *contender {
	c := *b.contender(of)
	c.label, c.session = label, session
	return &c
}

// pairs are elections with a leader and a waiter, of all these contenders.
func (b *bench) pairs(phase string, proxied bool, cs []*contender) (es elections, err error) {
	for _, c := range cs {
		e, err := b.newElection(c, phase, proxied)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	if err := es.open(); err != nil {
		es.close()
		return nil, err
	}
	return es, nil
}

// handovers measures how long nobody's command is there when the leader's has ended by
// itself, and when the leader is asked to resign.
func (b *bench) handovers() error {
	behind := b.variant(zkelectLabel, behindLabel, session)
	behind.waiting = 3
	return b.handoversOf(append(b.contenders[:len(b.contenders):len(b.contenders)], behind, b.variant(zkelectLabel, resignLabel, session)), b.rounds(20))
}

func (b *bench) handoversOf(cs []*contender, rounds int) error {
	es, err := b.pairs("handover", false, cs)
	if err != nil {
		return err
	}
	defer es.close()
	for round := range rounds {
		time.Sleep(settle)
		for _, e := range rotated(es, round) {
			if _, err := e.handedOver(); err != nil {
				return err
			}
		}
		if round < rounds-1 {
			if err := es.refill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// handedOver returns how long nobody's command was there, 0 where that says nothing.
func (e *election) handedOver() (ms float64, err error) {
	t, err := e.change(func(_ *member, command life) (int64, error) {
		at := zktest.Stamp()
		if e.label == resignLabel {
			_, err := e.b.launch([]string{e.b.zkelect, "resign", "--quiet", "--servers", e.b.serverOf(e.contender), e.path})
			return at, err
		}
		return at, syscall.Kill(command.pid, syscall.SIGUSR1)
	})
	if err != nil {
		return 0, err
	}
	if t.end == 0 || t.overlapped { // by the end of a session, on a machine that is too busy
		log.Printf("%s: two commands at a time, which counts for no hand-over", e.path)
		return 0, nil
	}
	ms = millis(time.Duration(t.begin - t.end))
	e.b.add(e.label, "handover", ms)
	e.b.add(e.label, "handover.cause", millis(time.Duration(t.begin-t.cause)))
	return ms, nil
}

// kills measures how long it takes after the leader's process is killed until the
// waiter's command is there.
func (b *bench) kills() error {
	var quick, slow []*contender
	for _, c := range b.contenders {
		switch {
		case c.server == noServer: // its command goes on, and keeps the lock
		case b.small && c.label != zkelectLabel: // to wait for the end of one session will do
		case c.label == zkelectLabel:
			quick = append(quick, c, b.variant(zkelectLabel, zkelect30, 30*time.Second))
		default:
			slow = append(slow, c)
		}
	}
	es, err := b.pairs("kill", false, append(quick, slow...))
	if err != nil {
		return err
	}
	defer es.close()
	fast, others := es[:len(quick)], es[len(quick):]
	for round := range b.rounds(5) {
		time.Sleep(settle)
		// Those that take milliseconds come first and one at a time, the others wait for
		// the ends of sessions beside each other.
		for again := range b.rounds(4) {
			if again > 0 {
				if err := fast.refill(); err != nil {
					return err
				}
				time.Sleep(settle)
			}
			for _, e := range rotated(fast, again) {
				if _, err := e.killed(); err != nil {
					return err
				}
			}
		}
		if err := others.each(func(e *election) error { _, err := e.killed(); return err }); err != nil {
			return err
		}
		if round < b.rounds(5)-1 {
			if err := es.refill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// killed returns how long it took until the next command was there.
func (e *election) killed() (ms float64, err error) {
	t, err := e.change(func(leader *member, _ life) (int64, error) {
		at := zktest.Stamp()
		leader.kill()
		return at, nil
	})
	if err != nil {
		return 0, err
	}
	ms = millis(time.Duration(t.begin - t.cause))
	e.b.add(e.label, "kill", ms)
	e.b.addOverlap(e.label, "kill", t)
	return ms, nil
}

func (b *bench) addOverlap(label, measure string, t turn) {
	n := 0.0
	if t.overlapped {
		n = 1
	}
	b.add(label, measure+".overlap", n)
}

// losses measures how long it takes after the leader's host has fallen silent until the
// waiter's command is there, and how long after the ensemble has given the leader up.
func (b *bench) losses() error {
	var cs []*contender
	for _, c := range b.contenders {
		if c.server != noServer && (!b.small || c.label == zkelectLabel || c.label == floorLabel) {
			cs = append(cs, c)
		}
	}
	es, err := b.pairs("loss", true, cs)
	if err != nil {
		return err
	}
	defer es.close()
	rounds := b.rounds(7)
	for round := range rounds {
		// At different times after the last ping.
		time.Sleep(2*settle + time.Duration(round)*session/time.Duration(3*rounds))
		if err := es.each((*election).lost); err != nil {
			return err
		}
		if round < rounds-1 {
			if err := es.refill(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *election) lost() error {
	var gone <-chan zktest.Moment
	stop := func() {}
	defer func() { stop() }()
	t, err := e.change(func(leader *member, _ life) (int64, error) {
		if e.server == zooKeeper {
			stop()
			node, err := e.first()
			if err != nil {
				return 0, err
			}
			if gone, stop, err = zktest.WatchDeletion(e.b.zk.Addr(), node); err != nil {
				stop = func() {}
				return 0, err
			}
		}
		at := zktest.Stamp()
		leader.proxy.Cut()
		return at, nil
	})
	if err != nil {
		return err
	}
	e.b.add(e.label, "loss", millis(time.Duration(t.begin-t.cause)))
	e.b.addOverlap(e.label, "loss", t)
	if gone != nil {
		select {
		case expired := <-gone:
			e.b.add(e.label, "loss.after", millis(time.Duration(t.begin-expired.Boot)))
		case <-time.After(patience):
			return fmt.Errorf("%s: nobody has seen the leader's node go", e.label)
		}
	}
	return nil
}

// said is what has gone through a proxy.
type said struct{ requests, pings, bytes float64 }

func (f *front) said() said {
	up, down := f.Traffic()
	requests, pings := f.sent()
	return said{float64(requests), float64(pings), float64(up + down)}
}

// traffic counts what a waiter says when it joins, and what waiter and leader say while
// nothing happens.
func (b *bench) traffic() error {
	return again(b.trafficOnce)
}

// again does something once more where leadership has changed by itself meanwhile.
func again(f func() error) error {
	const tries = 3
	for try := 1; ; try++ {
		err := f()
		if !errors.Is(err, errEarly) || try == tries {
			return err
		}
		log.Printf("%v; again", err)
	}
}

func (b *bench) trafficOnce() error {
	var cs []*contender
	for _, c := range b.contenders {
		if c.server != noServer {
			cs = append(cs, c)
		}
	}
	es, err := b.pairs("traffic", true, cs)
	if err != nil {
		return err
	}
	defer es.close()
	time.Sleep(2 * time.Second) // for what comes after the join
	before := map[*member]said{}
	for _, e := range es {
		for _, m := range e.members {
			before[m] = m.proxy.said()
		}
	}
	window := 4 * session
	if b.small {
		window = time.Second
	}
	time.Sleep(window)
	for _, e := range es {
		if err := e.steady(); err != nil {
			return err
		}
	}
	for _, e := range es {
		joined := before[e.members[1]]
		b.add(e.label, "join.bytes", joined.bytes)
		b.add(e.label, "join.requests", joined.requests)
		for i, who := range []string{"leader", "waiter"} {
			then, now := before[e.members[i]], e.members[i].proxy.said()
			b.add(e.label, who+".bytes/s", (now.bytes-then.bytes)/window.Seconds())
			b.add(e.label, who+".requests/s", (now.requests+now.pings-then.requests-then.pings)/window.Seconds())
			if e.server == zooKeeper { // what keeps etcd's lease is a request like others
				b.add(e.label, who+".spoken/s", (now.requests-then.requests)/window.Seconds())
			}
		}
	}
	return nil
}
