package zktest

import (
	"net"
	"sync"
	"testing"
)

// Silent returns an address that accepts connections and never answers, like a
// server that is stopped.
func Silent(tb testing.TB) string { return listen(tb, func(net.Conn) {}) }

// Garbage returns an address that answers whatever it is sent with these bytes,
// like the wrong service on the port. It leaves closing to the client.
func Garbage(tb testing.TB, answer []byte) string {
	return listen(tb, func(c net.Conn) {
		for buf := make([]byte, 4096); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// Closed returns an address that refuses connections.
func Closed(tb testing.TB) string {
	tb.Helper()
	p, err := reserve("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.release)
	return p.addr()
}

// listen serves each connection until the end of the test, which closes them.
func listen(tb testing.TB, serve func(net.Conn)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var accepting, serving sync.WaitGroup
	var conns []net.Conn // the accepting goroutine's until that has ended
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			serving.Go(func() { serve(c) })
		}
	})
	tb.Cleanup(func() {
		l.Close()
		accepting.Wait()
		for _, c := range conns {
			c.Close()
		}
		serving.Wait()
	})
	return l.Addr().String()
}
