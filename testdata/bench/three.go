package main

import (
	"fmt"
	"time"
)

// The contenders that are compared on three servers too, under labels of their own.
const (
	three       = "-three" // after the label that each has on one server
	killedThree = zkelectLabel + "-killed" + three
	capacityOf3 = capacityLabel + three
)

// onThree measures the most important on an ensemble of three servers.
func (b *bench) onThree() error {
	at, stop, err := b.launchThree("three")
	if err != nil {
		return err
	}
	defer stop()
	var cs []*contender
	for _, label := range []string{floorLabel, zkelectLabel, "golock"} {
		c := b.variant(label, label+three, session)
		c.at = at
		cs = append(cs, c)
	}
	if err := b.runsOf(cs, b.rounds(20), func(bool) error { return nil }); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := b.handoversOf(cs, b.rounds(10)); err != nil {
		return fmt.Errorf("hand-over: %w", err)
	}
	killed := b.variant(zkelectLabel, killedThree, usualSession)
	killed.at = at
	es, err := b.pairs("kill", false, []*contender{killed})
	if err != nil {
		return err
	}
	defer es.close()
	for range b.rounds(8) {
		time.Sleep(settle)
		if _, err := es[0].killed(); err != nil {
			return err
		}
		if err := es.refill(); err != nil {
			return err
		}
	}
	return b.beat(capacityOf3, at.addr)
}

func (b *bench) threeBlock() string {
	t := newTable("", "`true`, ms", "× floor", "quartiles", "hand-over, ms", "× floor", "quartiles", "`kill -9`, ms", "least – most")
	for _, r := range b.rows() {
		l := r.label + three
		if b.stats(l, "run.wall").n == 0 {
			continue
		}
		run, _, _ := b.spread(l, "run.wall")
		handover, _, _ := b.spread(l, "handover")
		kill, ends := absent, absent
		if r.label == zkelectLabel {
			kill = b.cell(killedThree, "kill")
			_, ends, _ = b.spread(killedThree, "kill")
		}
		t.row(r.name, b.cell(l, "run.wall"), b.ratio(l, floorLabel+three, "run.wall"), run,
			b.cell(l, "handover"), b.ratio(l, floorLabel+three, "handover"), handover, kill, ends)
	}
	return t.String() + fmt.Sprintf(`
`+"`kill -9`"+` is with a session of %v. The three servers acknowledged %s heartbeats a second at the
most, where one alone acknowledged %s: they share this machine's CPUs and its disk.
`, usualSession, b.cell(capacityOf3, "writes/s"), b.cell(capacityLabel, "writes/s"))
}
