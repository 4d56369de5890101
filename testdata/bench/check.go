package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"zkelect/zkelect/zktest"
)

// checkLabel has the ratios that are checked, by the measures' names.
const checkLabel = "check"

// checked is a measure that must not grow. Ratios are to what the floor takes in the same
// turn.
type checked struct {
	name, what string
	part       string  // what measures it
	tolerance  float64 // by how much of what is recorded it may be more
}

// What waits for a scheduler and for a server's answer may be 80 % more, that of several
// processes, one after the other, twice as much; memory, which hardly varies on one
// machine (other kernels map more of a program at a time), 40 %: docs/performance.md shows
// how much they vary. Any less would fail on another machine than the recorded one.
// Requests are counted: one more than were ever recorded is one too many.
const (
	ofTime, ofTurns, ofCPU, ofMemory, ofRequests = .8, 1, .6, .4, 0
)

var measures = []checked{
	{"run", "`run -- true`, × the floor's", "runs", ofTime},
	{"run-cpu", "its CPU time, × the floor's", "runs", ofCPU},
	{"run-peak", "its memory at the most, all processes, × the floor's", "runs", ofMemory},
	{"run-requests", "its requests", "runs", ofRequests},
	{"handover", "hand-over, × the floor's", "turns", ofTurns},
	{"kill", "failover after `kill -9`, × the floor's hand-over", "turns", ofTurns},
	{"join-requests", "requests of a waiter's join", "members", ofRequests},
	{"waiter", "a waiter's memory, × the floor's", "members", ofMemory},
	{"next", "that of the next to lead, × the floor's", "members", ofMemory},
	{"leader", "a leader's, × the floor's", "members", ofMemory},
}

// parts of a check, with how often each is done.
var parts = []struct {
	name   string
	rounds int
	run    func(b *bench, at *place, rounds int) error
}{
	{"runs", 25, (*bench).checkRuns},
	{"turns", 20, (*bench).checkTurns},
	{"members", 3, (*bench).checkMembers},
}

// checkSession is zkelect's own, so that a busy machine ends none.
const checkSession = usualSession

// rival is a contender in the check's elections.
func (b *bench) rival(of, label string, at *place) *contender {
	c := b.variant(of, label, checkSession)
	c.at = at
	return c
}

// afresh is a phase's name that no earlier one has, since killed members leave nodes behind
// for as long as their sessions.
func (b *bench) afresh(phase string) string {
	b.serial++
	return fmt.Sprintf("%s-%d", phase, b.serial)
}

// serveCheck starts the check's own server. It writes to the page cache and its compiler
// has one stage, since neither the disk nor how warm the server is are to be checked.
func (b *bench) serveCheck() (at *place, stop func(), err error) {
	s, err := zktest.Launch(filepath.Join(b.dir, checkLabel), zktest.TickTime(2*time.Second))
	if err != nil {
		return nil, nil, err
	}
	b.onEnd(func() { _ = s.Close() })
	conn, err := b.connect(s.Addr())
	return &place{s.Addr(), conn}, func() { conn.Close(); _ = s.Close() }, err
}

// measureParts does these parts anew, so many times as often as usual.
func (b *bench) measureParts(at *place, names []string, times int) error {
	for _, m := range measures {
		if slices.Contains(names, m.part) {
			b.drop(checkLabel, m.name)
		}
	}
	for _, p := range parts {
		if slices.Contains(names, p.name) {
			since := time.Now()
			rounds := p.rounds * times
			if b.small || b.factor > 1 { // fewer say nothing
				rounds = b.rounds(rounds)
			}
			if err := p.run(b, at, rounds); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			log.Printf("check's %s: %v", p.name, time.Since(since).Round(100*time.Millisecond))
		}
	}
	return nil
}

func (b *bench) checkRuns(at *place, rounds int) error {
	floor, ours := b.rival(floorLabel, "check-floor", at), b.rival(zkelectLabel, "check-zkelect", at)
	for _, c := range []*contender{floor, ours} {
		if err := b.prepare(c, runPath(c)); err != nil {
			return err
		}
	}
	for round := range b.warmUp()*5 + rounds {
		took := map[*contender]ran{}
		for _, c := range rotated([]*contender{floor, ours}, round) {
			r, err := b.runTrue(c)
			if err != nil {
				return err
			}
			took[c] = r
		}
		if round >= b.warmUp()*5 {
			b.add(checkLabel, "run", float64(took[ours].own)/float64(took[floor].own))
			b.add(checkLabel, "run-cpu", float64(took[ours].cpu)/float64(took[floor].cpu))
		}
	}
	looks := (rounds + 4) / 5
	b.drop(floor.label, "run.peak.all")
	b.drop(ours.label, "run.peak.all")
	for range looks {
		front, err := b.proxy(ours)
		if err != nil {
			return err
		}
		_, err = b.measure(ours.argv(b, ours, front.Addr(), runPath(ours), []string{nothing}))
		requests, _ := front.sent()
		front.Close()
		if err != nil {
			return err
		}
		b.add(checkLabel, "run-requests", float64(requests))
	}
	for range looks {
		if err := b.peaksOf([]*contender{floor, ours}, 1); err != nil {
			return err
		}
	}
	b.add(checkLabel, "run-peak", b.stats(ours.label, "run.peak.all").median/b.stats(floor.label, "run.peak.all").median)
	return nil
}

func (b *bench) checkTurns(at *place, rounds int) error {
	floor, ours, killed := b.rival(floorLabel, "check-floor", at), b.rival(zkelectLabel, "check-zkelect", at), b.rival(zkelectLabel, "check-killed", at)
	es, err := b.pairs(b.afresh("turns"), false, []*contender{floor, ours, killed})
	if err != nil {
		return err
	}
	defer es.close()
	for round := range rounds {
		time.Sleep(settle)
		took := map[string]float64{}
		for _, e := range rotated(es, round) {
			turned := e.handedOver
			if e.contender == killed {
				turned = e.killed
			}
			if took[e.label], err = turned(); err != nil {
				return err
			}
		}
		// None, where a session has ended by itself.
		if base := took[floor.label]; base > 0 && took[ours.label] > 0 {
			b.add(checkLabel, "handover", took[ours.label]/base)
			b.add(checkLabel, "kill", took[killed.label]/base)
		}
		if round < rounds-1 {
			if err := es.refill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkMembers has a leader and two waiters of each in several elections at once.
func (b *bench) checkMembers(at *place, rounds int) error {
	var cs []*contender
	for i := range min(rounds, 6) {
		cs = append(cs, b.rival(floorLabel, fmt.Sprintf("check-floor-%d", i), at), b.rival(zkelectLabel, fmt.Sprintf("check-zkelect-%d", i), at))
	}
	return again(func() error {
		return b.weighed(b.afresh("members"), true, cs, func(es elections) {
			for i := 0; i < len(es); i += 2 {
				floor, ours := es[i], es[i+1]
				b.add(checkLabel, "join-requests", ours.members[1].proxy.said().requests)
				for _, who := range []string{"leader", "next", "waiter"} {
					b.add(checkLabel, who, b.stats(ours.label, who+".resident").median/b.stats(floor.label, who+".resident").median)
				}
			}
		})
	})
}

// check compares with what is recorded, and measures what is too much again, and once
// more, each time twice as often as before: a busy moment passes, a decay does not.
func (b *bench) check(names []string) error {
	file := recordedFile()
	known, err := readRecorded(file)
	if err != nil {
		return err
	}
	at, stop, err := b.serveCheck()
	if err != nil {
		return err
	}
	defer stop()
	for try, todo := 1, names; ; try++ {
		if err := b.measureParts(at, todo, 1<<(try-1)); err != nil {
			return err
		}
		worse, err := b.compare(known, todo)
		if err != nil {
			return err
		}
		if len(worse) == 0 {
			return nil
		}
		const tries = 3
		if try == tries || b.small {
			var all []error
			for _, v := range worse {
				all = append(all, errors.New(v.String()))
			}
			return fmt.Errorf("worse than recorded in %s (make bench-record, if it is meant to be):\n%w", file, errors.Join(all...))
		}
		todo = nil
		for _, v := range worse {
			log.Printf("%v; again", v)
			if !slices.Contains(todo, v.part) {
				todo = append(todo, v.part)
			}
		}
	}
}

// verdict is what is said of one measure.
type verdict struct {
	checked
	was      recording
	measured float64
}

// recorded is what was recorded, of requests the most that ever were.
func (v verdict) recorded() float64 {
	if v.tolerance == ofRequests {
		return v.was.Most
	}
	return v.was.Median
}

func (v verdict) bound() float64 { return v.recorded() * (1 + v.tolerance) }

func (v verdict) String() string {
	return fmt.Sprintf("%s (%s): recorded %s, measured %s, tolerance %.0f %%, so at most %s", strings.ReplaceAll(v.what, "`", ""), v.name,
		number(v.recorded()), number(v.measured), v.tolerance*100, number(v.bound()))
}

// compare prints what was measured beside what is recorded, and returns what is too much.
func (b *bench) compare(known recorded, parts []string) (worse []verdict, err error) {
	for _, m := range measures {
		if !slices.Contains(parts, m.part) {
			continue
		}
		was, ok := known.Measures[m.name]
		if !ok {
			return nil, fmt.Errorf("nothing is recorded of %q; run: make bench-record", m.name)
		}
		s := b.stats(checkLabel, m.name)
		if s.n == 0 {
			return nil, fmt.Errorf("%s: nothing was measured; see the lines above", m.name)
		}
		v := verdict{m, was, s.median}
		result := "holds"
		switch {
		case v.measured > v.bound():
			result = "WORSE"
			worse = append(worse, v)
		case v.measured*(1+v.tolerance) < v.was.Least:
			result = "better (make bench-record keeps it)"
		}
		fmt.Fprintf(os.Stdout, "%-14s recorded %6s, measured %6s (quartiles %s to %s, n %d), at most %6s: %s\n",
			m.name, number(v.recorded()), number(v.measured), number(s.q1), number(s.q3), s.n, number(v.bound()), result)
	}
	return worse, nil
}
