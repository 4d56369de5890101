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
		p.halted = map[ident]bool{}
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

// halt is a round of a freeze, or of a thaw, without a control group. It reports
// whether another one is due: what still ran may have had children.
func (p *tree) halt(members []proc) bool {
	again := false
	for _, m := range members {
		stands := m.state == 'T' || m.state == 'Z'
		switch {
		case p.frozen && p.halted != nil && !stands:
			p.halted[m.ident] = true
			p.send(m, unix.SIGSTOP)
			again = true
		case !p.frozen && p.halted[m.ident]:
			p.send(m, unix.SIGCONT)
		}
	}
	if !p.frozen {
		p.halted = nil
	}
	return again
}
