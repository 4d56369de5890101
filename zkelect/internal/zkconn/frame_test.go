package zkconn

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// response is a connect response as a server of 3.8 sends it, with its length.
func response(timeout time.Duration, session int64) []byte {
	b := make([]byte, 4+37)
	binary.BigEndian.PutUint32(b[0:], 37)
	binary.BigEndian.PutUint32(b[8:], uint32(timeout.Milliseconds()))
	binary.BigEndian.PutUint64(b[12:], uint64(session))
	binary.BigEndian.PutUint32(b[20:], 16) // the password; then 16 bytes, and whether it is read-only
	return b
}

// frame is what follows as one frame.
func frame(body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// dialed is a connection of l, and the server's end of it.
func dialed(t *testing.T, l *Link) (client net.Conn, server net.Conn) {
	t.Helper()
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) {
		c, s := net.Pipe()
		t.Cleanup(func() { c.Close(); s.Close() })
		server = s
		return c, nil
	}
	client, err := l.Dial("tcp", "zk1:2181", 0)
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// readAll is what the library would get of what a server sends in pieces of a
// size, and how that ends.
func readAll(t *testing.T, l *Link, sent []byte, piece int) ([]byte, error) {
	t.Helper()
	client, server := dialed(t, l)
	go func() {
		defer server.Close()
		for rest := sent; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := server.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	return io.ReadAll(client)
}

func TestNegotiatedTimeoutIsRead(t *testing.T) {
	sent := append(response(4*time.Second, 7), frame(make([]byte, 16)...)...)
	for piece := 1; piece <= len(sent); piece++ {
		l := New([]string{"zk1:2181"}, time.Second)
		got, err := readAll(t, l, sent, piece)
		if err != nil || string(got) != string(sent) {
			t.Fatalf("in pieces of %d: %q, %v", piece, got, err)
		}
		if l.Timeout() != 4*time.Second || l.Server() != "zk1:2181" {
			t.Fatalf("in pieces of %d: timeout %v of %q", piece, l.Timeout(), l.Server())
		}
	}
}

func TestSmallestTimeoutOfTheSessionCounts(t *testing.T) {
	l := New([]string{"zk1:2181"}, time.Second)
	for _, step := range []struct{ granted, want time.Duration }{
		{10 * time.Second, 10 * time.Second},
		{4 * time.Second, 4 * time.Second},
		{8 * time.Second, 4 * time.Second},
	} {
		if _, err := readAll(t, l, response(step.granted, 7), 64); err != nil {
			t.Fatal(err)
		}
		if l.Timeout() != step.want {
			t.Errorf("after %v were granted: %v", step.granted, l.Timeout())
		}
	}
}

// A zk.Conn carries one session: after the servers have said that it is over, or
// have made another, nothing is dialed and nothing more is sent.
func TestLinkCarriesOneSession(t *testing.T) {
	t.Run("session 0", func(t *testing.T) {
		l := New([]string{"zk1:2181"}, time.Second)
		if _, err := readAll(t, l, response(4*time.Second, 7), 64); err != nil {
			t.Fatal(err)
		}
		// The library must see this answer, else it would not tell of the end.
		if got, err := readAll(t, l, response(0, 0), 64); err != nil || len(got) != 41 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		mustBeBarred(t, l)
	})
	t.Run("another session", func(t *testing.T) {
		l := New([]string{"zk1:2181"}, time.Second)
		if _, err := readAll(t, l, response(4*time.Second, 7), 64); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t, l, response(4*time.Second, 8), 64); err == nil || len(got) > 0 {
			t.Fatalf("the library got another session: %d bytes, %v", len(got), err)
		}
		mustBeBarred(t, l)
	})
}

func mustBeBarred(t *testing.T, l *Link) {
	t.Helper()
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) {
		t.Error("it dialed again")
		return nil, io.EOF
	}
	if _, err := l.Dial("tcp", "zk1:2181", 0); err != ErrBarred {
		t.Errorf("dial: %v", err)
	}
	if _, quits := l.Next(); !quits {
		t.Error("the library is not told to look whether it shall quit")
	}
}

// What no ZooKeeper server sends must not reach the library: it allocates what
// a frame claims, and panics on a timeout of nothing and on a short reply.
func TestGarbageDoesNotReachTheLibrary(t *testing.T) {
	huge := response(4*time.Second, 7)
	binary.BigEndian.PutUint32(huge[20:], 1<<31-1)
	negative := response(4*time.Second, 7)
	binary.BigEndian.PutUint32(negative[20:], 1<<31)
	for name, sent := range map[string][]byte{
		"HTTP":                        []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
		"SSH":                         []byte("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
		"TLS alert":                   {21, 3, 3, 0, 2, 2, 40},
		"zeros":                       make([]byte, 64),
		"frame of 2 GB":               append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, 60)...),
		"frame of negative length":    append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 60)...),
		"frame of nothing":            {0, 0, 0, 0, 0, 0, 0, 0},
		"short connect response":      frame(make([]byte, 35)...),
		"long connect response":       frame(make([]byte, 65)...),
		"no timeout":                  response(0, 7),
		"negative timeout":            response(-time.Second, 7),
		"password of 2 GB":            huge,
		"password of negative length": negative,
	} {
		t.Run(name, func(t *testing.T) {
			l := New([]string{"zk1:2181"}, time.Second)
			got, err := readAll(t, l, sent, 64)
			if err == nil || len(got) > 0 {
				t.Fatalf("the library got %d bytes, error %v", len(got), err)
			}
			if l.Errors()["zk1:2181"] == nil {
				t.Error("nobody is told why")
			}
		})
	}
	for name, after := range map[string][]byte{
		"reply of negative length": {0xff, 0, 0, 0},
		"reply of nothing":         {0, 0, 0, 0},
		"short reply":              frame(make([]byte, 15)...),
	} {
		t.Run(name, func(t *testing.T) {
			l := New([]string{"zk1:2181"}, time.Second)
			shake := response(4*time.Second, 7)
			got, err := readAll(t, l, append(shake, after...), len(shake))
			if err == nil || len(got) != len(shake) {
				t.Fatalf("the library got %d bytes, error %v", len(got)-len(shake), err)
			}
			if err := l.Errors()["zk1:2181"]; err == nil || !strings.Contains(err.Error(), "frame of") {
				t.Errorf("told: %v", err)
			}
		})
	}
}

// On a new connection the library awaits the answer to its credentials before it sends
// anything else, watches too. So that one answer must not wait for the watches, and all
// others must.
func TestCredentialsAreAnsweredBeforeWatches(t *testing.T) {
	request := func(op byte) []byte { return frame(0, 0, 0, 1, 0, 0, 0, op) }
	reply := frame(make([]byte, minReply)...)
	for try := 0; ; try++ { // a busy machine may be late, not always
		l := New([]string{"zk1:2181"}, time.Second)
		l.Watching = func() bool { return true }
		client, server := dialed(t, l)
		go func() { _, _ = server.Write(response(4*time.Second, 7)) }()
		if _, err := io.ReadFull(client, make([]byte, 41)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.ReadFull(server, make([]byte, 12))
			_, _ = server.Write(append(reply, reply...))
			_, _ = io.Copy(io.Discard, server)
		}()
		read := func() time.Time {
			for _, size := range []int{4, minReply} {
				if _, err := io.ReadFull(client, make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
			return time.Now()
		}
		first, second := make(chan time.Time, 1), make(chan time.Time, 1)
		began := time.Now()
		go func() { first <- read(); second <- read() }()
		if _, err := client.Write(request(opSetAuth)); err != nil {
			t.Fatal(err)
		}
		answered := <-first
		time.Sleep(rearmBound / 4)
		armed := time.Now()
		if _, err := client.Write(request(opSetWatches)); err != nil {
			t.Fatal(err)
		}
		if next := <-second; next.Before(armed) && armed.Sub(answered) < rearmBound/2 {
			t.Fatal("another reply passed before the watches were set")
		}
		if answered.Sub(began) < rearmBound {
			return
		}
		if try == 20 {
			t.Fatalf("the answer to the credentials waited for %v", answered.Sub(began))
		}
	}
}
