package child

import "golang.org/x/sys/unix"

// How an owner speaks to its guard: it never waits for it.

// send never blocks: a guard that doesn't read for so long is dead or stopped.
func (g *Guard) send(kind byte, fields ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.say(kind, fields...)
}

// maxUnsaid is how much may wait for a guard that doesn't read.
const maxUnsaid = 2 * maxMessage

// say is send with the lock held. What goes into the socket at once is with the guard
// even if this process ends now.
func (g *Guard) say(kind byte, fields ...string) {
	b := message{kind, fields}.encode()
	waiting := len(g.unsaid) > 0
	if !waiting {
		b = b[g.put(b):]
		if len(b) == 0 {
			return
		}
	}
	if g.unsaid = append(g.unsaid, b...); len(g.unsaid) > maxUnsaid {
		g.t.Kill()
	} else if !waiting {
		go g.sayRest()
	}
}

// put gives the socket what it takes without waiting.
func (g *Guard) put(b []byte) (n int) {
	raw, err := g.socket.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		n, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
	if err != nil {
		return 0
	}
	return n
}

// sayRest goes on until all is said, or the socket is closed.
func (g *Guard) sayRest() {
	for {
		g.mu.Lock()
		b := g.unsaid
		g.mu.Unlock()
		n, err := g.socket.Write(b)
		g.mu.Lock()
		g.unsaid = g.unsaid[n:]
		over := err != nil || len(g.unsaid) == 0
		g.mu.Unlock()
		if over {
			return // listen finds out what is wrong
		}
	}
}
