package child

import "golang.org/x/sys/unix"

// Freeze stops every process of the tree where it stands: by its control group, all
// at once, or one by one. KILL reaches a frozen process.
func (p *tree) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen || p.stopping || p.killing {
		return
	}
	p.frozen = true
	if !p.cgroup.freeze() {
		p.halted, p.restless = map[ident]bool{}, calm
		p.poke()
	}
}

// Thaw lets go on what Freeze has stopped, and nothing else: a job that a shell of
// the tree has suspended stays so.
func (p *tree) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaw()
}

func (p *tree) thaw() {
	if !p.frozen {
		return
	}
	p.frozen = false
	p.cgroup.thaw()
	p.poke()
}

// calm is how many looks in a row have to find everything standing: what one look
// has missed may have had a child.
const calm = 2

// halt is a round of a freeze, or of a thaw, without a control group.
func (p *tree) halt(members []proc) {
	if p.halted == nil {
		return
	}
	p.restless--
	for _, m := range members {
		switch stands := m.state == 'T' || m.state == 't' || m.state == 'Z'; {
		case p.frozen && !stands: // also one that was woken since
			p.halted[m.ident] = true
			p.send(m, unix.SIGSTOP)
			p.restless = calm
		case !p.frozen && p.halted[m.ident]:
			p.send(m, unix.SIGCONT)
		}
	}
	if !p.frozen {
		p.halted, p.restless = nil, 0
	}
	p.restless = max(p.restless, 0)
}
