package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A claim is one of what zkelect is meant to keep, as this run shows it.
type claim struct {
	what     string
	measured float64 // NaN: not measured in this run
	unit     string
	bound    float64 // 0: none, it is but stated
}

func (c claim) row(t *table) {
	result, measured, bound := "holds", number(c.measured)+c.unit, "at most "+number(c.bound)+c.unit
	if c.bound == 0 {
		result, bound = "stated", absent
	}
	switch {
	case math.IsNaN(c.measured):
		result, measured = "not measured in this run", absent
	case c.bound == 0:
	case c.measured > c.bound:
		result = "**does not hold**"
	}
	t.row(c.what, measured, bound, result)
}

// median is that of a measure, NaN where this run has none.
func (b *bench) median(label, measure string) float64 {
	s := b.stats(label, measure)
	if s.n == 0 {
		return math.NaN()
	}
	return s.median
}

// best is the quickest of the others that work on several hosts.
func (b *bench) best(measure string) *contender {
	var others []*contender
	for _, c := range b.contenders {
		if c.label != floorLabel && c.label != zkelectLabel && c.server != noServer && b.stats(c.label, measure).n > 0 {
			others = append(others, c)
		}
	}
	if len(others) == 0 {
		return &contender{name: "nobody"}
	}
	return slices.MinFunc(others, func(x, y *contender) int {
		return cmp.Compare(b.median(x.label, measure), b.median(y.label, measure))
	})
}

// verdicts says of each claim whether it held in this run.
func (b *bench) verdicts() string {
	of := func(measure string) float64 { return b.median(zkelectLabel, measure) }
	over := func(measure, label string) float64 { return of(measure) / b.median(label, measure) }
	queue := func(n int, measure string) float64 { return b.median(fmt.Sprint(n), measure) }
	most := func(label, measure string) float64 {
		if s := b.stats(label, measure); s.n > 0 {
			return s.max
		}
		return math.NaN()
	}
	const mebi = 1024
	peer := b.best("handover")
	claims := []claim{
		{"`run -- true`: zkelect / go-zookeeper Lock", over("run.wall", "golock"), "", 1},
		{"`run -- true`: zkelect / floor as a program", over("run.wall", floorLabel), "", 1.5},
		{"`run -- true`: peak memory of all zkelect's processes at one instant", of("run.peak.all") / mebi, " MiB", 0},
		{"`run -- true`: peak memory of the largest of them", of("run.peak") / mebi, " MiB", 0},
		{"hand-over by exit: zkelect / floor", over("handover", floorLabel), "", 1.5},
		{"hand-over by exit: zkelect / the quickest peer (" + peer.name + ")", over("handover", peer.label), "", 1},
	}
	for _, n := range b.queueSizes() {
		if n == fewest {
			continue
		}
		c := claim{fmt.Sprintf("hand-over with %s waiters / with %d", number(float64(n)), fewest), queue(n, "queue.turn") / queue(n, "queue.few"), "", 1.5}
		if n > 1000 {
			c.bound = 0
		}
		claims = append(claims, c)
	}
	largest := b.queueSizes()[len(b.queueSizes())-1]
	total := (queue(largest, "queue.all.resident") + queue(largest, "queue.server.resident")) / mebi
	claims = append(claims,
		claim{"failover by `kill -9`, session " + usualSession.String(), b.median(zkelect30, "kill"), " ms", 100},
		claim{"host loss: after the ensemble's own expiry, median", of("loss.after"), " ms", 500},
		claim{"host loss: after the ensemble's own expiry, the most", most(zkelectLabel, "loss.after"), " ms", 500},
		claim{"a waiter in the queue: resident", of("waiter.resident") / mebi, " MiB", 8},
		claim{"the next in line, with its guard: resident", of("next.resident") / mebi, " MiB", 0},
	)
	t := newTable("", "measured", "bound", "in this run")
	for _, c := range claims {
		c.row(t)
	}
	pings := of("waiter.spoken/s")
	result := "holds"
	switch {
	case math.IsNaN(pings):
		result = "not measured in this run"
	case pings > 0:
		result = "**does not hold**"
	}
	t.row("a waiter: requests a second that are no pings", b.cell(zkelectLabel, "waiter.spoken/s"), "0", result)
	result = "holds"
	if math.IsNaN(total) {
		result = "**does not hold**: they were not brought up"
	}
	t.row(fmt.Sprintf("%s waiters and a leader beside the server on this machine: memory of all", number(float64(largest))), mib(total), absent, result)
	return t.String()
}

func mib(v float64) string {
	if math.IsNaN(v) {
		return absent
	}
	return number(v) + " MiB"
}
