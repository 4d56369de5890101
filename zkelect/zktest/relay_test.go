package zktest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// What looks like the head of a long frame passes through a relay at once, and is counted
// as all other bytes are; a cut holds it as a proxy's does.
func TestRelay(t *testing.T) {
	hello := []byte{0, 0, 6, 4, 0, 0} // as a server of HTTP/2 begins
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write(hello)
		_, _ = io.Copy(conn, conn)
	}()
	var mu sync.Mutex
	var seen []byte
	p, err := OpenRelay(l.Addr().String(), func(conn int, sent []byte) {
		mu.Lock()
		defer mu.Unlock()
		if conn != 1 {
			t.Errorf("connection %d", conn)
		}
		seen = append(seen, sent...)
	})
	must(t, err)
	defer p.Close()
	conn, err := net.Dial("tcp", p.Addr())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.ReadFull(conn, make([]byte, len(hello)))
	must(t, err)

	_, err = conn.Write([]byte{0, 0, 9})
	must(t, err)
	_, err = io.ReadFull(conn, make([]byte, 3))
	must(t, err)
	// What has arrived is counted a moment later.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		up, down := p.Traffic()
		if up == 3 && down == 9 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes up and %d down, want 3 and 9", up, down)
		}
	}

	mu.Lock()
	if want := []byte{0, 0, 9}; !bytes.Equal(seen, want) {
		t.Errorf("the tap has seen %v, want %v", seen, want)
	}
	mu.Unlock()

	p.Cut()
	_, err = conn.Write([]byte{1})
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came through a cut", n)
	}
	p.Heal()
	must(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err = io.ReadFull(conn, make([]byte, 1))
	must(t, err)
}
