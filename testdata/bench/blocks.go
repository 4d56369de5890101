package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

func (b *bench) machineBlock(took time.Duration) string {
	m := b.machine
	user := "root"
	if os.Getuid() != 0 {
		user = "an ordinary user"
	}
	return fmt.Sprintf(`%s, Linux %s, by %s. %s, %s; ZooKeeper %s and etcd alone on this machine, with fsync
on %s: a synced write of 512 bytes takes %s ms (median; quartiles %s – %s). The load was
%s at the start. The run took %v.
`, m.cpu, m.kernel, user, m.goVersion, m.java, b.version, m.disk, number(m.fsync.median),
		number(m.fsync.q1), number(m.fsync.q3), m.load, took.Round(time.Second))
}

// summary is the one table.
func (b *bench) summary() string {
	t := newTable("", "`true`, ms", "× floor", "CPU, ms", "peak, MiB", "hand-over, ms", "× floor", "`kill -9`, ms", "host loss, ms",
		"waiter, MiB", "leader, MiB", "waiter, requests/s", "leader, requests/s", "join, requests", "join, bytes")
	live := []string{"floor, in a live process", b.cell(liveLabel, "run.wall"), b.ratio(liveLabel, floorLabel, "run.wall")}
	for range 12 {
		live = append(live, absent)
	}
	t.row(live...)
	for _, r := range b.rows() {
		t.row(r.name, b.cell(r.label, "run.wall"), b.ratio(r.label, floorLabel, "run.wall"), b.cell(r.label, "run.cpu"), b.mebibytes(r.label, "run.peak.all"),
			b.cell(r.label, "handover"), b.ratio(r.label, floorLabel, "handover"),
			b.cell(r.label, "kill"), b.cell(r.label, "loss"),
			b.mebibytes(r.label, "waiter.resident"), b.mebibytes(r.label, "leader.resident"),
			b.cell(r.label, "waiter.requests/s"), b.cell(r.label, "leader.requests/s"),
			b.cell(r.label, "join.requests"), b.cell(r.label, "join.bytes"))
	}
	return t.String()
}

// details is all about one measure in ms.
func (b *bench) details(measure string, rows []row) *table {
	t := newTable("", "median, ms", "× floor", "quartiles", "least – most", "runs")
	for _, r := range rows {
		if b.stats(r.label, measure).n == 0 {
			continue
		}
		quartiles, ends, n := b.spread(r.label, measure)
		t.row(r.name, b.cell(r.label, measure), b.ratio(r.label, floorLabel, measure), quartiles, ends, n)
	}
	return t
}

func (b *bench) runBlock() string {
	t := newTable("", "median, ms", "× floor", "quartiles", "least – most", "runs", "its last process gone, ms", "CPU of all, ms",
		"processes", "peak of all, MiB", "shared pages parted, MiB", "largest process, MiB")
	for _, r := range append([]row{{"floor, in a live process", liveLabel}}, b.rows()...) {
		quartiles, ends, n := b.spread(r.label, "run.wall")
		t.row(r.name, b.cell(r.label, "run.wall"), b.ratio(r.label, floorLabel, "run.wall"), quartiles, ends, n,
			b.cell(r.label, "run.all"), b.cell(r.label, "run.cpu"), b.count(r.label, "run.peak.processes"), b.mebibytes(r.label, "run.peak.all"),
			b.mebibytes(r.label, "run.peak.proportional"), b.mebibytes(r.label, "run.peak"))
	}
	return t.String()
}

func (b *bench) timelineBlock() string {
	t := newTable("what zkelect does", "after its start, ms", "quartiles", "since the line before, ms")
	steps := b.samples["timeline"]
	at := func(what string) float64 { return statsOf(steps[what]).median }
	before := 0.0
	for _, what := range slices.SortedFunc(maps.Keys(steps), func(x, y string) int { return cmp.Compare(at(x), at(y)) }) {
		quartiles, _, _ := b.spread("timeline", what)
		t.row(what, number(at(what)), quartiles, number(at(what)-before))
		before = at(what)
	}
	return t.String()
}

func (b *bench) exchangeBlock() string {
	t := newTable("", "requests", "bytes")
	for _, r := range b.rows() {
		if b.stats(r.label, "exchange.bytes").n > 0 {
			t.row(r.name, b.cell(r.label, "exchange.requests"), b.cell(r.label, "exchange.bytes"))
		}
	}
	return t.String()
}

func (b *bench) handoverBlock() string {
	t := b.details("handover", b.rows())
	floor := b.stats(floorLabel, "handover").median
	for _, m := range []struct{ name, label, measure string }{
		{"zkelect, three behind the leader", behindLabel, "handover"},
		{"zkelect, by `resign`, from the old command's last stamp", resignLabel, "handover"},
		{"zkelect, by `resign`, from the start of `zkelect resign`", resignLabel, "handover.cause"},
	} {
		if s := b.stats(m.label, m.measure); s.n > 0 {
			quartiles, ends, n := b.spread(m.label, m.measure)
			t.row(m.name, b.cell(m.label, m.measure), number(s.median/floor), quartiles, ends, n)
		}
	}
	return t.String()
}

// overlapped tells how often the old command lived on.
func (b *bench) overlapped(label, measure string) string {
	n, all := 0, b.values(label, measure+".overlap")
	for _, v := range all {
		n += int(v)
	}
	return fmt.Sprintf("%d of %d", n, len(all))
}

func (b *bench) killBlock() string {
	t := newTable("", "median, ms", "quartiles", "least – most", "two commands at a time")
	for _, r := range b.rows(row{"zkelect with its own session, 30s", zkelect30}) {
		if b.stats(r.label, "kill").n > 0 {
			quartiles, ends, _ := b.spread(r.label, "kill")
			t.row(r.name, b.cell(r.label, "kill"), quartiles, ends, b.overlapped(r.label, "kill"))
		}
	}
	return t.String()
}

func (b *bench) lossBlock() string {
	t := newTable("", "median, ms", "quartiles", "least – most", "after the ensemble's expiry, ms", "least – most", "two commands at a time")
	for _, r := range b.rows() {
		if b.stats(r.label, "loss").n > 0 {
			quartiles, ends, _ := b.spread(r.label, "loss")
			_, afterEnds, _ := b.spread(r.label, "loss.after")
			t.row(r.name, b.cell(r.label, "loss"), quartiles, ends, b.cell(r.label, "loss.after"), afterEnds, b.overlapped(r.label, "loss"))
		}
	}
	return t.String()
}

func (b *bench) memoryBlock() string {
	t := newTable("", "leader: resident", "private", "peak", "processes", "next: resident", "private", "processes", "waiter: resident", "private", "processes")
	for _, r := range b.rows() {
		l := r.label
		t.row(r.name, b.mebibytes(l, "leader.resident"), b.mebibytes(l, "leader.private"), b.mebibytes(l, "leader.peak"), b.count(l, "leader.processes"),
			b.mebibytes(l, "next.resident"), b.mebibytes(l, "next.private"), b.count(l, "next.processes"),
			b.mebibytes(l, "waiter.resident"), b.mebibytes(l, "waiter.private"), b.count(l, "waiter.processes"))
	}
	return t.String()
}

func (b *bench) count(label, measure string) string {
	if b.stats(label, measure).n == 0 {
		return absent
	}
	return fmt.Sprintf("%.0f", b.stats(label, measure).median)
}

func (b *bench) trafficBlock() string {
	t := newTable("", "waiter: requests/s", "of them no pings", "bytes/s", "leader: requests/s", "of them no pings", "bytes/s", "join: requests", "bytes")
	for _, r := range b.rows() {
		if b.stats(r.label, "join.bytes").n > 0 {
			t.row(r.name, b.cell(r.label, "waiter.requests/s"), b.cell(r.label, "waiter.spoken/s"), b.cell(r.label, "waiter.bytes/s"),
				b.cell(r.label, "leader.requests/s"), b.cell(r.label, "leader.spoken/s"), b.cell(r.label, "leader.bytes/s"),
				b.cell(r.label, "join.requests"), b.cell(r.label, "join.bytes"))
		}
	}
	return t.String()
}

func (b *bench) queueBlock() string {
	t := newTable("waiters", "hand-over, ms", "quartiles", "least – most", "two waiters beside them, ms", "×", "the floor with as many, ms", "quartiles", "×",
		"watches fired by it", "its requests, back in the queue included")
	u := newTable("waiters", "a join, ms", "its requests", "memory each, MiB", "of all, MiB", "and of the server, MiB", "pings/s", "server's CPU, % of one", "waiters' CPU, % of one", "lost",
		"`status`, ms", "its requests", "its bytes", "its peak, MiB")
	for _, n := range b.queueSizes() {
		l, shown := fmt.Sprint(n), number(float64(n))
		quartiles, ends, _ := b.spread(l, "queue.turn")
		floor, _, _ := b.spread(l, "queue.floor")
		t.row(shown, b.cell(l, "queue.turn"), quartiles, ends, b.cell(l, "queue.few"), b.toOther(l, "queue.turn", "queue.few"),
			b.cell(l, "queue.floor"), floor, b.toOther(l, "queue.turn", "queue.floor"), b.cell(l, "queue.turn.woken"), b.cell(l, "queue.turn.requests"))
		u.row(shown, b.cell(l, "queue.join"), b.cell(l, "queue.join.requests"), b.mebibytes(l, "queue.resident"), b.mebibytes(l, "queue.all.resident"),
			b.mebibytes(l, "queue.server.resident"), b.cell(l, "queue.pings"), b.cell(l, "queue.server.cpu"), b.cell(l, "queue.clients.cpu"), b.count(l, "queue.lost"),
			b.cell(l, "queue.status"), b.cell(l, "queue.status.requests"), b.cell(l, "queue.status.bytes"), b.mebibytes(l, "queue.status.peak"))
	}
	return t.String() + "\n" + u.String()
}

// toOther is the ratio of two measures of one contender, of the medians.
func (b *bench) toOther(label, measure, to string) string {
	s, of := b.stats(label, measure), b.stats(label, to)
	if s.n == 0 || of.median == 0 {
		return absent
	}
	return number(s.median / of.median)
}

func (b *bench) electionsBlock() string {
	head := []string{"writes/s", "all requests/s", "another's write, ms", "99 of 100 below", "server's CPU, % of one", "leaders' CPU, % of one", "lost"}
	cells := func(l string) []string {
		return []string{b.cell(l, "led.writes/s"), b.cell(l, "led.requests/s"), b.cell(l, "led.latency"),
			number(percentile(b.values(l, "led.latency"), .99)), b.cell(l, "led.cpu"), b.cell(l, "led.clients.cpu"), b.count(l, "led.lost")}
	}
	sizes, _, sessions := b.ledSizes()
	t := newTable(append([]string{"elections led, session " + usualSession.String()}, head...)...)
	for _, n := range sizes {
		t.row(append([]string{number(float64(n))}, cells(fmt.Sprintf("led-%d", n))...)...)
	}
	_, many, _ := b.ledSizes()
	u := newTable(append([]string{fmt.Sprintf("session, %s elections led", number(float64(many)))}, head...)...)
	for _, s := range sessions {
		u.row(append([]string{s.String()}, cells(fmt.Sprintf("led-%v", s))...)...)
	}
	return t.String() + "\n" + u.String() + fmt.Sprintf(`
At the most, with 256 heartbeats under way from 16 sessions of one process beside it, the
server acknowledged %s heartbeats a second.
`, b.cell(capacityLabel, "writes/s"))
}

func percentile(values []float64, part float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return v[min(len(v)-1, int(part*float64(len(v))))]
}

// points are a measure's medians over the numbers, where it has any.
func (b *bench) points(measure string, xs []float64, label func(x float64) string) (all [][2]float64) {
	for _, x := range xs {
		if s := b.stats(label(x), measure); s.n > 0 {
			all = append(all, [2]float64{x, s.median})
		}
	}
	return all
}

func floats(ns []int) (xs []float64) {
	for _, n := range ns {
		xs = append(xs, float64(n))
	}
	return xs
}

func (b *bench) queuePlot() string {
	label := func(x float64) string { return fmt.Sprintf("%.0f", x) }
	sizes := floats(b.queueSizes())
	return lines("One election, more and more waiters", "waiters", "ms, median", []curve{
		{"hand-over", b.points("queue.turn", sizes, label)},
		{"the floor's", b.points("queue.floor", sizes, label)},
		{"status", b.points("queue.status", sizes, label)},
	})
}

func (b *bench) electionsPlot() string {
	ns, _, _ := b.ledSizes()
	label := func(x float64) string { return fmt.Sprintf("led-%.0f", x) }
	return lines("Elections led at once, session "+usualSession.String(), "elections", "writes a second; ms", []curve{
		{"writes a second", b.points("led.writes/s", floats(ns), label)},
		{"ms of another's write", b.points("led.latency", floats(ns), label)},
	})
}

func (b *bench) heartbeatsPlot() string {
	_, many, sessions := b.ledSizes()
	var seconds []float64
	for _, s := range sessions {
		seconds = append(seconds, s.Seconds())
	}
	label := func(x float64) string { return fmt.Sprintf("led-%v", time.Duration(x*float64(time.Second))) }
	return lines(fmt.Sprintf("Heartbeats of %s leaders", number(float64(many))), "session timeout, s", "writes a second; %", []curve{
		{"writes a second", b.points("led.writes/s", seconds, label)},
		{"% of a CPU", b.points("led.cpu", seconds, label)},
	})
}
