//go:build unix && !linux

package child

import "golang.org/x/sys/unix"

// Freeze stops the process group, until Thaw.
func (p *Process) Freeze() { p.Signal(unix.SIGSTOP) }

// Thaw has the process group go on.
func (p *Process) Thaw() { p.Signal(unix.SIGCONT) }
