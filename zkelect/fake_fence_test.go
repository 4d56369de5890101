package zkelect

import "time"

// fence tells whether the work is a fence's.
func (k *fakeWork) fence() bool { return k.previous != nil }

// fences lets the candidate fence, its nth fence as plan says.
func (c *fakeCandidate) fences(plan func(n int) fakePlan) {
	c.fencePlan = plan
	c.cfg.Fence = func(t Term, previous Previous) (Work, error) {
		k, err := c.starts(t, &previous)
		if k == nil {
			return nil, err
		}
		return k, err
	}
}

// fence is the candidate's nth fence, once it was started.
func (c *fakeCandidate) fence(n int) (k *fakeWork) {
	c.w.t.Helper()
	c.w.until("a fence of "+c.id, func() bool {
		if fences := c.fenced(); len(fences) > n {
			k = fences[n]
		}
		return k != nil
	})
	return k
}

// fenced is the fences that were started.
func (c *fakeCandidate) fenced() []*fakeWork {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.fenceWorks
}

func (k *fakeWork) Freeze() {
	k.locked(func() {
		k.frozen = true
		k.freezes = append(k.freezes, k.w.now())
		k.w.note("%s: work is frozen", k.c.id)
		if len(k.stops) > 0 {
			k.w.violated("%s: a work that is asked to stop is frozen", k.c.id)
		}
	})()
}

func (k *fakeWork) Thaw() {
	k.locked(func() {
		if !k.frozen {
			k.w.violated("%s: a work is thawed that was not frozen", k.c.id)
		}
		k.frozen = false
		k.thaws = append(k.thaws, k.w.now())
		k.w.note("%s: work is thawed", k.c.id)
		later := k.later
		k.later = nil
		for _, f := range later {
			f()
		}
	})()
}

// unfrozen puts off what a frozen work cannot do.
func (k *fakeWork) unfrozen(f func()) func() {
	return func() {
		if k.frozen {
			k.later = append(k.later, f)
			return
		}
		f()
	}
}

// stood is when the work was frozen and thawed.
func (k *fakeWork) stood() (freezes, thaws []time.Duration) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.freezes, k.thaws
}
