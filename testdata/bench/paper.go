package main

import (
	"fmt"
	"math"
	"time"
)

// The rules by which zkelect speaks: a leader's heartbeat each tenth of the session
// timeout, and a ping each third of it, which the library leaves out where something
// else was sent.
const (
	beatsPerSession = 10
	pingsPerSession = 3
)

// paper reckons with what was measured for as many as nobody here can start.
func (b *bench) paper() string {
	const everybody = 100_000
	last := 0 // the most that were measured
	for _, n := range b.queueSizes() {
		if b.stats(fmt.Sprint(n), "queue.turn").n > 0 {
			last = n
		}
	}
	queue := fmt.Sprint(last)
	_, many, _ := b.ledSizes()
	led := fmt.Sprintf("led-%d", many)
	capacity := b.stats(capacityLabel, "writes/s").median
	half := capacity / 2

	t := newTable("100,000 participants", "session", "pings/s", "writes/s", "nodes", "watches", "ensembles for the writes")
	for _, c := range []struct {
		what    string
		leaders float64
		session time.Duration
	}{
		{"one election, one leads", 1, usualSession},
		{"10,000 elections of ten", 10_000, usualSession},
		{"50,000 elections of two", 50_000, usualSession},
		{"100,000 elections, all lead", everybody, usualSession},
		{"100,000 elections, all lead", everybody, time.Minute},
	} {
		waiters := everybody - c.leaders
		pings := waiters * pingsPerSession / c.session.Seconds()
		writes := c.leaders * beatsPerSession / c.session.Seconds()
		nodes := waiters*b.stats(queue, "queue.nodes").median + c.leaders*b.stats(led, "led.nodes").median
		watches := waiters*b.stats(queue, "queue.watches").median + c.leaders*b.stats(led, "led.watches").median
		t.row(c.what, c.session.String(), number(math.Round(pings)), number(math.Round(writes)), number(math.Round(nodes)),
			number(math.Round(watches)), number(max(1, math.Ceil(writes/half))))
	}
	join := b.stats(queue, "queue.join").median * everybody / 1000
	return t.String() + b.carriers(queue, float64(last)) + fmt.Sprintf(`
Half of what this server acknowledged at the most, %s writes a second, is taken as what
one ensemble carries. To join, 100,000 need %s s at the %s ms each that the last of %s
waiters took on average; a `+"`status`"+` of one election with all of them has 100,000 nodes to
read, %s ms at %s ms for each thousand.
`, number(half), number(join), b.cell(queue, "queue.join"), number(float64(last)),
		number(b.stats(queue, "queue.status").median*everybody/float64(last)),
		number(b.stats(queue, "queue.status").median*1000/float64(last)))
}

// carriers reckons what servers are needed for those who only wait, of whom last were
// measured.
func (b *bench) carriers(queue string, last float64) string {
	const everybody = 100_000
	cpu := b.stats(queue, "queue.server.cpu").median // at pings each third of queueSession
	at := func(session time.Duration) float64 {
		return cpu * everybody / last * queueSession.Seconds() / session.Seconds()
	}
	memory := b.stats(queue, "queue.server.resident").median / 1024
	return fmt.Sprintf(`
%s waiters with a session of %v took %s %% of one CPU of the server, which held %s MiB with its
own start; so the pings of 100,000 take %s %% of one with that session, and %s %% with %v. The
server may have %d files open here: for the connections of 100,000 it takes %.0f servers of that
limit, for which observers will do, or one whose limit is raised.
`, number(last), queueSession, number(cpu), number(memory), number(at(queueSession)), number(at(usualSession)), usualSession,
		b.files, math.Ceil(everybody/max(1, float64(b.files)-100)))
}
