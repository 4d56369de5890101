package zktest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between clients and one server, and does to their connections
// what networks do. It reads ZooKeeper's frames, so a fault can strike one
// request and its reply; what is not framed (four letter words, TLS) passes
// through, subject to the faults that need no reading.
//
// All methods may be called at any time from any goroutine and apply to open and
// to new connections at once. Directions are named from the client: up is to the
// server.
type Proxy struct {
	target   string
	relay    bool // nothing is framed
	tap      func(conn int, sent []byte)
	port     port
	up, down *gate
	faults   faults
	records  records

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	links    map[*link]bool
	made     int // connections so far
	closed   bool
	running  sync.WaitGroup
}

// NewProxy stands a proxy before the server at target until the test's end.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := OpenProxy(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// OpenProxy is [NewProxy] for those without a test. The caller must Close it.
func OpenProxy(target string) (*Proxy, error) { return openProxy(target, nil) }

// OpenRelay is [OpenProxy] for a server of another protocol, whose bytes could be
// taken for frames: none is read. What clients send is shown to tap as it comes, unless
// that is nil: of each connection, which are counted from 1, one piece at a time.
func OpenRelay(target string, tap func(conn int, sent []byte)) (*Proxy, error) {
	if tap == nil {
		tap = func(int, []byte) {}
	}
	return openProxy(target, tap)
}

// openProxy opens a relay where there is a tap.
func openProxy(target string, tap func(int, []byte)) (*Proxy, error) {
	held, err := reserve("127.0.0.1")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, relay: tap != nil, tap: tap, port: held, up: newGate(), down: newGate(), links: map[*link]bool{}}
	if err := p.Refuse(false); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Addr returns the address for clients.
func (p *Proxy) Addr() string { return p.port.addr() }

// Conns returns how many connections are open, those that wait in a cut included.
func (p *Proxy) Conns() int { return len(p.openLinks()) }

// Traffic returns how many bytes have been passed on so far each way, those of what
// is not framed included.
func (p *Proxy) Traffic() (up, down int64) { return p.up.passed.Load(), p.down.passed.Load() }

// Cut makes the network go silent, both ways: connections stay open, new ones
// are accepted, nothing comes through and nothing is lost. It is what a cable
// pulled out looks like; see [Proxy.Heal].
func (p *Proxy) Cut() {
	p.CutUp()
	p.CutDown()
}

// CutUp is Cut for what clients send.
func (p *Proxy) CutUp() { p.up.set(held) }

// CutDown is Cut for what the server sends.
func (p *Proxy) CutDown() { p.down.set(held) }

// Drop makes the network go silent, both ways, and loses what it is given: a
// firewall that has forgotten its connections.
func (p *Proxy) Drop() {
	p.up.set(dropping)
	p.down.set(dropping)
}

// Heal ends Cut and Drop. What a cut held back is delivered, late and in order,
// as TCP does it: what a client sent before it gave up and closed its socket,
// too. Connections that lost bytes, and those that came while bytes were lost,
// are reset.
func (p *Proxy) Heal() {
	p.up.set(open)
	p.down.set(open)
	for _, l := range p.openLinks() {
		if l.lossy.Load() {
			l.reset()
		}
	}
}

// Reset ends all open connections by RST.
func (p *Proxy) Reset() {
	for _, l := range p.openLinks() {
		l.reset()
	}
}

// Refuse makes new connections be refused, as by a host whose server is down, or
// accepts them again. Open connections go on.
func (p *Proxy) Refuse(refuse bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case refuse && p.listener != nil:
		p.listener.Close()
		p.listener = nil
	case !refuse && p.listener == nil:
		if p.closed {
			return errors.New("zktest: the proxy is closed")
		}
		l, err := net.Listen("tcp", p.Addr())
		if err != nil {
			return fmt.Errorf("zktest: open proxy: %w", err)
		}
		p.listener = l
		p.running.Go(func() { p.accept(l) })
	}
	return nil
}

// Delay makes everything take so much longer each way, from now on. Frames keep
// their order and don't wait for one another.
func (p *Proxy) Delay(up, down time.Duration) {
	p.up.delay.Store(int64(up))
	p.down.delay.Store(int64(down))
}

// Close ends all connections and gives the port back.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Reset()
	p.running.Wait()
	p.port.release()
}

// accept takes new connections until the listener is closed.
func (p *Proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, say: it passes
			continue
		}
		p.add(conn.(*net.TCPConn))
	}
}

func (p *Proxy) add(conn *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener == nil { // it came in while the door was being shut
		_ = conn.SetLinger(0)
		conn.Close()
		return
	}
	p.made++
	l := newLink(p, p.made, conn)
	p.links[l] = true
	p.running.Go(func() {
		l.run()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	})
}

func (p *Proxy) openLinks() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}
