package chaos

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"zkelect/zkelect/zktest"
)

// report sums up the run once it is over.
func (e *engine) report() *Report {
	e.mu.Lock()
	r := &Report{
		Seed: e.cfg.Seed, Took: time.Duration(zktest.Stamp() - e.begun), Rounds: max(0, len(e.calms)-1), LeftOut: e.lacks, Cured: e.cured,
		Violations: slices.Clone(e.violations), Faults: map[kind]int{}, Missed: map[kind]int{}, Resigns: maps.Clone(e.resigns), Ends: maps.Clone(e.ends),
		Terms: make([]int, len(e.cfg.Elections)), Failovers: map[kind]Times{}, Calms: timesOf(slices.Clone(e.calms)),
	}
	for _, d := range e.deeds {
		if d.missed == "" {
			r.Faults[d.Kind]++
		} else {
			r.Missed[d.Kind]++
		}
	}
	e.mu.Unlock()
	if e.census == nil {
		return r
	}
	var margins, handovers []time.Duration
	failovers := map[kind][]time.Duration{}
	for i := range e.cfg.Elections {
		terms := e.census.of(i)
		r.Terms[i] = len(terms)
		for n, t := range terms {
			died := t.died()
			if t.liveGone != 0 && died != 0 && !t.liveByHand {
				// The news of a death can come after that of the deletion it preceded.
				margins = append(margins, time.Duration(max(0, t.liveGone-died)))
			}
			if n+1 < len(terms) && died != 0 {
				handovers = append(handovers, time.Duration(max(0, terms[n+1].first-died)))
			}
		}
		for _, d := range e.doneDeeds() {
			if took, ok := failover(d, i, terms); ok {
				failovers[d.Kind] = append(failovers[d.Kind], took)
			}
		}
	}
	r.Margins, r.Handovers = timesOf(margins), timesOf(handovers)
	for k, all := range failovers {
		r.Failovers[k] = timesOf(all)
	}
	return r
}

// of returns the terms of an election in the order of their first stamps.
func (c *census) of(election int) (terms []*term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.terms {
		if t.election == election {
			terms = append(terms, t)
		}
	}
	slices.SortFunc(terms, func(a, b *term) int { return cmp.Compare(a.first, b.first) })
	return terms
}

// failover is the time from a fault on an election's leader to the next tree. Faults
// overlap, so a time may be due to another one.
func failover(d *deed, election int, terms []*term) (time.Duration, bool) {
	if d.Election != election || d.contender == nil || d.Target != theLeader {
		return 0, false
	}
	for n, t := range terms {
		died := t.died()
		led := t.id == d.contender.name() && t.first <= d.from && died > d.from
		if led && n+1 < len(terms) && died < d.from+int64(d.For+15*time.Second) {
			return time.Duration(terms[n+1].first - d.from), true
		}
	}
	return 0, false
}
