package zkelect

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// Servers that are silent, gone, unknown, or no servers at all, beside a good
// one or alone.

// A silent server costs the time of one handshake, not 6.7 session timeouts.
func TestSilentServerFirst(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second
	bound := handshakeTimeout(timeout) + 2*time.Second // the library takes 26.7 s
	t.Run("connect", func(t *testing.T) {
		t.Parallel()
		e, silent := newElection(t, zktest.Shared(t)), zktest.Silent(t)
		for range 40 { // the library tries them in random order
			begun := time.Now()
			s := e.openSession(t, timeout, silent, e.server.Addr())
			took := time.Since(begun)
			first := s.link.Servers()[0]
			s.close(time.Second)
			if first != silent {
				continue
			}
			t.Logf("usable after %v", took)
			if took > bound {
				t.Error("too slow")
			}
			return
		}
		t.Fatal("the silent server was never the first")
	})
	// Both ways at once: a reconnection meets the silent one first.
	reconnect := func(t *testing.T, session func(e *election, addrs ...string) (usable func() bool)) time.Duration {
		e, px := newRoot(t)
		other := zktest.NewProxy(t, e.server.Addr())
		usable := session(e, px.Addr(), other.Addr())
		if px.Conns() == 0 {
			px, other = other, px
		}
		other.Cut()
		begun := time.Now()
		px.Reset()
		for !usable() && time.Since(begun) < 2*timeout {
			time.Sleep(3 * time.Millisecond)
		}
		return time.Since(begun)
	}
	t.Run("reconnect", func(t *testing.T) {
		t.Parallel()
		took := reconnect(t, func(e *election, addrs ...string) func() bool {
			s := e.openSession(t, timeout, addrs...)
			return func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				_, before, _ := s.status()
				_, err := s.exists(ctx, "/")
				return err == nil && before > 1
			}
		})
		t.Logf("usable again after %v", took)
		if took > bound {
			t.Error("too slow")
		}
	})
	t.Run("reconnect naked", func(t *testing.T) {
		t.Parallel()
		took := reconnect(t, func(_ *election, addrs ...string) func() bool {
			c := zktest.Dial(t, timeout, addrs...)
			left := false
			return func() bool {
				left = left || c.State() != zk.StateHasSession
				return left && c.State() == zk.StateHasSession
			}
		})
		t.Logf("usable again after %v", took)
		if took < 2*timeout {
			t.Error("the library bounds its handshake now")
		}
	})
}

// One bad name fails the library's Connect.
func TestBadServersAmongGoodOnes(t *testing.T) {
	t.Parallel()
	if c, _, err := zk.Connect([]string{"no-such-host.invalid:2181", "127.0.0.1:1"}, time.Second, zk.WithLogger(&zkSession{cfg: &Config{}})); err == nil {
		c.Close()
		t.Error("the naked library does not mind a bad name any more")
	}
	for name, bad := range map[string]string{
		"unknown name": "no-such-host.invalid:2181",
		"refusing":     zktest.Closed(t),
		"HTTP":         zktest.Garbage(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")),
		"silent":       zktest.Silent(t),
	} {
		t.Run(name, func(t *testing.T) {
			e := newElection(t, zktest.Shared(t)) // not parallel: the bad servers end with the parent
			begun := time.Now()
			p := contend(t, e.config("a", bad, e.server.Addr()))
			p.awaitWork(0)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("led after %v", took)
			}
			if _, err := Resign(t.Context(), func() ResignConfig {
				cfg := e.resignConfig(bad, e.server.Addr())
				cfg.NoSuccessor = true
				return cfg
			}()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Bad servers alone: the error names each with what is wrong with it.
func TestNoGoodServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ server, says string }{
		"unknown name": {"no-such-host.invalid:2181", "no such host"},
		"refusing":     {zktest.Closed(t), "refused"},
		"silent":       {zktest.Silent(t), "no answer within"},
		"HTTP":         {zktest.Garbage(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")), `not a ZooKeeper server: the answer begins with "HTTP"`},
		"SSH":          {zktest.Garbage(t, []byte("SSH-2.0-OpenSSH_9.2p1\r\n")), "not a ZooKeeper server"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := CandidateConfig{Config: Config{Servers: c.server, Path: "/jobs/x", SessionTimeout: 3 * time.Second, ConnectTimeout: 700 * time.Millisecond}}
			p := contend(t, cfg)
			begun := time.Now()
			out, err := p.awaitEnd()
			if out.Cause != CauseError || !errors.Is(err, ErrUnreachable) {
				t.Fatalf("%+v, %v", out, err)
			}
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("after %v", took)
			}
			if !strings.Contains(err.Error(), c.server) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it says: %v", err)
			}
		})
	}
}

func TestIPv6Server(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Start(t, zktest.IPv6()))
	p := contend(t, e.config("a"))
	p.awaitWork(0)
	e.mustStand(true, "a")
}

// The chroot of the connect string is made, with its parents.
func TestChrootIsMade(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	cfg := e.config("a")
	cfg.Servers += "/of/many/parts"
	p := contend(t, cfg)
	work := p.awaitWork(0)
	if e.see("/of/many/parts"+work.term.Node) == nil {
		t.Errorf("no %s in the chroot", work.term.Node)
	}
	if e.see("/of/many/parts"+e.side) == nil || e.see(e.side) != nil {
		t.Error("the side node is not in the chroot")
	}
}

// impostor shakes hands as a server does and answers each later request with
// the same bytes.
func impostor(t *testing.T, answer []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	t.Cleanup(func() { l.Close() })
	shake := make([]byte, 4+37) // connect response: length, version, timeout, session, password, read-only
	binary.BigEndian.PutUint32(shake[0:], 37)
	binary.BigEndian.PutUint32(shake[8:], 4000)
	binary.BigEndian.PutUint64(shake[12:], 0x1234)
	binary.BigEndian.PutUint32(shake[20:], 16)
	serve := func(c net.Conn) {
		defer c.Close()
		for reply := shake; ; reply = answer {
			head := make([]byte, 4)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head))); err != nil {
				return
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// Frames that nobody sends end the connection, and neither the process nor its
// memory. Not parallel, so that the memory is its own.
func TestWildFrames(t *testing.T) {
	header := func(xid, code int32, body ...byte) []byte {
		f := make([]byte, 20, 20+len(body))
		binary.BigEndian.PutUint32(f[0:], uint32(16+len(body)))
		binary.BigEndian.PutUint32(f[4:], uint32(xid))
		binary.BigEndian.PutUint32(f[16:], uint32(code))
		return append(f, body...)
	}
	for name, answer := range map[string][]byte{
		"frame of 2 GB":           {0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"frame of 1 GB":           {0x40, 0, 0, 0, 1, 2, 3, 4},
		"frame of 33 MB":          {0x02, 0x10, 0, 0, 1, 2, 3, 4},
		"negative length":         {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"short reply":             {0, 0, 0, 4, 1, 2, 3, 4},
		"nobody asked":            header(0x7fffffff, 0),
		"unknown error code":      header(1, -12345),
		"data of negative length": header(1, 0, 0xff, 0xff, 0xff, 0xff),
		"truncated":               header(1, 0, 0, 0, 0, 9, 1),
		"event that is none":      header(-1, 0, 1, 2, 3),
		"HTTP":                    []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			addr := impostor(t, answer)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			cfg := &Config{Servers: addr, SessionTimeout: 4 * time.Second}
			s, err := newSession(ctx, cfg)
			noError(t, err)
			defer s.close(0)
			data, stat, err := s.get(ctx, "/x")
			if err == nil {
				t.Errorf("it took that for an answer: %q, %+v", data, stat)
			}
			runtime.ReadMemStats(&after)
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 200 {
				t.Errorf("%d MB were allocated", mb)
			}
		})
	}
}
