package zktest

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A link is one connection through the proxy: the client's socket, the server's,
// and a lane each way. A lane is a reader and a writer with a queue between
// them, so that a delay shifts the frames without making them wait for one
// another.
type link struct {
	proxy  *Proxy
	id     int
	client *net.TCPConn

	closed chan struct{}
	once   sync.Once
	lossy  atomic.Bool  // bytes were lost: to be reset when the proxy heals
	muted  atomic.Bool  // a fault made it silent, for good
	ends   atomic.Int32 // lanes that have come to their end

	mu      sync.Mutex
	server  *net.TCPConn // nil until dialled
	session int64        // from the server's first frame
	awaited map[int32]*Fault
}

// lane is one direction of a link.
type lane struct {
	gate     *gate
	from, to *net.TCPConn
	inspect  func(frame []byte) parcel
}

// A parcel is what goes from a lane's reader to its writer: bytes, or what to do
// once all earlier bytes are out.
type parcel struct {
	bytes []byte
	then  step
	due   time.Time
}

type step int

const (
	goOn   step = iota
	mute        // be silent from here on
	hangUp      // close the connection
	end         // the sender has closed its side
	broken      // the sender's side was reset
)

func newLink(p *Proxy, id int, client *net.TCPConn) *link {
	return &link{proxy: p, id: id, client: client, closed: make(chan struct{}), awaited: map[int32]*Fault{}}
}

// run carries the connection until it is closed.
func (l *link) run() {
	defer l.close()
	server := l.reach()
	if server == nil {
		return
	}
	up := lane{gate: l.proxy.up, from: l.client, to: server, inspect: l.requests()}
	down := lane{gate: l.proxy.down, from: server, to: l.client, inspect: l.replies()}
	var running sync.WaitGroup
	for _, ln := range []lane{up, down} {
		queue := make(chan parcel, 1024)
		running.Go(func() { l.read(ln, queue) })
		running.Go(func() { l.write(ln, queue) })
	}
	running.Wait()
}

// reach connects to the server, or returns nil. While the way up is cut the
// server must not so much as see a connection; and a client that gave up
// meanwhile had, on a real network, never got through.
func (l *link) reach() *net.TCPConn {
	l.proxy.up.admit(l) // lost for good if it came while bytes are dropped
	if !l.proxy.up.await(l, isOpen) {
		return nil
	}
	if l.lossy.Load() || !established(l.client) {
		l.reset()
		return nil
	}
	conn, err := net.DialTimeout("tcp", l.proxy.target, 5*time.Second)
	if err != nil {
		l.reset()
		return nil
	}
	server := conn.(*net.TCPConn)
	l.mu.Lock()
	l.server = server
	l.mu.Unlock()
	select {
	case <-l.closed: // by a Reset that could not know of this socket
		server.Close()
		return nil
	default:
		return server
	}
}

// established tells whether neither side of a socket has closed it.
func established(c *net.TCPConn) bool {
	const tcpEstablished = 1
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	var infoErr error
	err = raw.Control(func(fd uintptr) {
		info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	return err == nil && infoErr == nil && info.State == tcpEstablished
}

// read takes frames from the sender. While the gate holds it takes none, so the
// sender's kernel keeps them and a full buffer makes the sender wait, as it does
// when a cable is out.
func (l *link) read(ln lane, queue chan<- parcel) {
	framed := !l.proxy.relay
	buf := make([]byte, 32<<10)
	for ln.gate.await(l, notHeld) {
		var p parcel
		var err error
		if framed {
			p.bytes, err = readFrame(ln.from)
			switch {
			case err == nil:
				p = ln.inspect(p.bytes)
			case errors.Is(err, errNotFramed):
				framed, err = false, nil // a four letter word, or TLS: pass it on as it comes
			}
		} else {
			var n int
			n, err = ln.from.Read(buf)
			p.bytes = append([]byte(nil), buf[:n]...)
			if l.proxy.relay && n > 0 && ln.from == l.client {
				l.proxy.tap(l.id, p.bytes)
			}
		}
		if err != nil {
			p.then = end
			if errors.Is(err, unix.ECONNRESET) {
				p.then = broken
			}
		}
		p.due = ln.gate.due()
		select {
		case queue <- p:
		case <-l.closed:
			return
		}
		if p.then != goOn && p.then != mute {
			return
		}
	}
}

// write hands frames to the receiver, each when it is due and the gate open.
func (l *link) write(ln lane, queue <-chan parcel) {
	for {
		var p parcel
		select {
		case p = <-queue:
		case <-l.closed:
			return
		}
		if !l.sleep(time.Until(p.due)) || !ln.gate.await(l, notHeld) {
			return
		}
		if !ln.gate.admit(l) {
			continue
		}
		if l.muted.Load() {
			// The end of a silent connection is the client's to bring about.
			if ln.from == l.client && (p.then == end || p.then == broken) {
				l.close()
				return
			}
			continue
		}
		if len(p.bytes) > 0 {
			if _, err := ln.to.Write(p.bytes); err != nil {
				l.close()
				return
			}
			ln.gate.passed.Add(int64(len(p.bytes)))
		}
		switch p.then {
		case mute:
			l.muted.Store(true)
		case hangUp:
			l.close()
		case broken:
			l.reset()
		case end:
			_ = ln.to.CloseWrite() // fails only where the receiver is gone already
			if l.ends.Add(1) == 2 {
				l.close()
			}
			return
		}
	}
}

// sleep waits, and returns false if the link was closed meanwhile.
func (l *link) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// requests returns the inspection of what the client sends.
func (l *link) requests() func([]byte) parcel {
	first := true
	return func(frame []byte) parcel {
		op := Op{Type: Connect} // its xid 0 is none that a client gives to a request
		if !first {
			op = parseRequest(frame)
		}
		first = false
		l.proxy.records.request(l, op)
		if l.muted.Load() || l.lossy.Load() {
			return parcel{bytes: frame} // it goes nowhere: faults are for what does
		}
		f := l.proxy.faults.take(op)
		if f == nil {
			return parcel{bytes: frame}
		}
		switch f.kind {
		case cutBefore:
			l.proxy.Cut()
			f.strike(op)
		case dropRequest:
			f.strike(op)
			return parcel{then: hangUp}
		case cutReply, holdReply:
			f.op = op
			l.mu.Lock()
			l.awaited[op.Xid] = f
			l.mu.Unlock()
		}
		return parcel{bytes: frame}
	}
}

// replies returns the inspection of what the server sends.
func (l *link) replies() func([]byte) parcel {
	first := true
	return func(frame []byte) parcel {
		var xid int32
		if first {
			l.mu.Lock()
			l.session = parseSession(frame)
			l.mu.Unlock()
		} else {
			var body *decoder
			xid, _, body = parseReply(frame)
			if xid == xidEvent {
				l.proxy.records.event(l, body)
			}
		}
		first = false

		l.mu.Lock()
		f := l.awaited[xid]
		delete(l.awaited, xid)
		l.mu.Unlock()
		if f == nil {
			return parcel{bytes: frame}
		}
		defer f.strike(f.op)
		if f.kind == holdReply {
			return parcel{then: mute}
		}
		return parcel{then: hangUp}
	}
}

// close ends the connection on both sides.
func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		l.client.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.server != nil {
			l.server.Close()
		}
	})
}

// reset ends the connection by RST on both sides.
func (l *link) reset() {
	_ = l.client.SetLinger(0) // fails only on a socket that is closed already
	l.mu.Lock()
	if l.server != nil {
		_ = l.server.SetLinger(0)
	}
	l.mu.Unlock()
	l.close()
}
