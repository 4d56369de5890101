package main

import "time"

// memories measures what a leader holds, what the one next to lead, and one behind that.
func (b *bench) memories() error {
	for range b.rounds(3) {
		if err := again(b.weighAll); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) weighAll() error {
	return b.weighed("memory", false, b.contenders, func(elections) {})
}

// weighed has the members of elections of these contenders weighed, and then looked at.
func (b *bench) weighed(phase string, proxied bool, cs []*contender, then func(elections)) error {
	es, err := b.pairs(phase, proxied, cs)
	if err != nil {
		return err
	}
	defer es.close()
	if err := b.settled(es); err != nil {
		return err
	}
	for _, e := range es {
		if err := e.weigh(); err != nil {
			return err
		}
	}
	then(es)
	return nil
}

// settled has another waiter join everywhere, and returns once all have come to rest.
func (b *bench) settled(es elections) error {
	if err := es.each(func(e *election) error {
		if err := e.enter(); err != nil {
			return err
		}
		return e.awaitQueue(3)
	}); err != nil {
		return err
	}
	rest := 5 * time.Second // for what comes after the join
	if b.small {
		rest /= 4
	}
	time.Sleep(rest)
	for _, e := range es {
		if err := e.steady(); err != nil {
			return err
		}
	}
	return nil
}

// weigh notes what the members hold, their commands left out.
func (e *election) weigh() error {
	all, err := e.lives()
	if err != nil {
		return err
	}
	command := all[len(all)-1].pid
	for i, who := range []string{"leader", "next", "waiter"} {
		m := memoryOf(e.members[i].pid(), command)
		e.b.add(e.label, who+".resident", m.resident)
		e.b.add(e.label, who+".private", m.private)
		e.b.add(e.label, who+".peak", m.peak)
		e.b.add(e.label, who+".processes", float64(m.processes))
	}
	return nil
}
