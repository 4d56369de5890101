package zkconn

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// The library waits for the first answer 6.7 session timeouts, and for its rest
// without end. The link waits for both together as long as it was told.
func TestHandshakeIsBounded(t *testing.T) {
	for name, sent := range map[string][]byte{
		"silent":        nil,
		"half a length": {0, 0},
		"half a frame":  response(4*time.Second, 7)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := New([]string{"zk1:2181"}, 200*time.Millisecond)
			client, server := dialed(t, l)
			go server.Write(sent)
			begun := time.Now()
			for buf := make([]byte, 64); ; {
				if _, err := client.Read(buf); err != nil {
					break
				}
			}
			if took := time.Since(begun); took < 150*time.Millisecond || took > time.Second {
				t.Errorf("given up after %v", took)
			}
			if l.Errors()["zk1:2181"] == nil {
				t.Error("nobody is told why")
			}
		})
	}
}

func TestConnectionOutlastsTheHandshake(t *testing.T) {
	l := New([]string{"zk1:2181"}, 100*time.Millisecond)
	client, server := dialed(t, l)
	shake := response(4*time.Second, 7)
	go server.Write(shake)
	if _, err := client.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(250 * time.Millisecond)
	go server.Write(frame(make([]byte, 16)...))
	if n, err := client.Read(make([]byte, 64)); err != nil || n == 0 {
		t.Fatalf("cut off after the handshake: %v", err)
	}
	if l.Errors()["zk1:2181"] != nil {
		t.Errorf("an error of a server that answered: %v", l.Errors())
	}
}

func TestKickAndBarEndTheConnection(t *testing.T) {
	for name, end := range map[string]func(*Link){"kick": (*Link).Kick, "bar": (*Link).Bar} {
		t.Run(name, func(t *testing.T) {
			l := New([]string{"zk1:2181"}, time.Minute)
			client, _ := dialed(t, l)
			read := make(chan error)
			go func() {
				_, err := client.Read(make([]byte, 1))
				read <- err
			}()
			end(l)
			select {
			case err := <-read:
				if err == nil {
					t.Error("it reads on")
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it waits on")
			}
		})
	}
	l := New([]string{"zk1:2181"}, time.Second)
	l.Bar()
	l.Bar() // twice is once
	mustBeBarred(t, l)
}

// A bar that comes while a dial waits or is under way ends it.
func TestBarMeetsADial(t *testing.T) {
	l := New([]string{"zk1:2181"}, 10*time.Second)
	l.fails = 1000 // so that there is a pause
	begun := time.Now()
	time.AfterFunc(50*time.Millisecond, l.Bar)
	if _, err := l.Dial("tcp", "zk1:2181", 0); err != ErrBarred {
		t.Errorf("dial in a pause: %v", err)
	}
	if took := time.Since(begun); took > 400*time.Millisecond {
		t.Errorf("the bar waited out the pause: %v", took)
	}

	l = New([]string{"zk1:2181"}, time.Second)
	client, server := net.Pipe()
	defer server.Close()
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) { l.Bar(); return client, nil }
	if _, err := l.Dial("tcp", "zk1:2181", 0); err != ErrBarred {
		t.Errorf("dial under way: %v", err)
	}
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("its socket was left open")
	}
}

// All servers are tried at once, then with growing pauses; a connection that
// lasted makes up for earlier failures, one that was hung up on does not.
func TestPace(t *testing.T) {
	l := New([]string{"zk1:2181", "zk2:2181"}, 2*time.Second)
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) { return nil, errors.New("refused") }
	begun := time.Now()
	for range 2 {
		l.Dial("tcp", "zk1:2181", 0)
	}
	if took := time.Since(begun); took > 20*time.Millisecond {
		t.Errorf("the first round took %v", took)
	}
	begun = time.Now()
	for range 8 {
		l.Dial("tcp", "zk1:2181", 0)
	}
	if took := time.Since(begun); took < 100*time.Millisecond || took > 3*time.Second {
		t.Errorf("four more rounds took %v", took)
	}
	l.fails = 1 << 40
	for range 100 {
		if p := l.pause(); p < 500*time.Millisecond/2 || p > 1500*time.Millisecond {
			t.Fatalf("a pause of %v", p)
		}
	}

	for lasted, want := range map[time.Duration]int{2 * settled: 1, settled / 2: 11} {
		l.fails, l.since = 10, time.Now().Add(-lasted)
		l.handshake = time.Millisecond // so that the pause is short
		l.Dial("tcp", "zk1:2181", 0)
		if l.fails != want {
			t.Errorf("a connection of %v leaves %d failures, not %d", lasted, l.fails, want)
		}
	}
}

func TestServersInTurn(t *testing.T) {
	l := New([]string{"a:1", "b:1", "c:1"}, time.Second)
	if err := l.Init([]string{"c:1", "a:1", "b:1"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 6 {
		server, sleeps := l.Next()
		if sleeps {
			t.Error("the library would sleep for a second")
		}
		got = append(got, server)
	}
	if want := []string{"c:1", "a:1", "b:1", "c:1", "a:1", "b:1"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestSmallestTimeout(t *testing.T) {
	for _, tick := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		t.Run(tick.String(), func(t *testing.T) {
			t.Parallel()
			s := zktest.Start(t, zktest.TickTime(tick))
			begun := time.Now()
			got, err := SmallestTimeout(t.Context(), s.Addr(), nil)
			if err != nil || got != 2*tick {
				t.Fatalf("%v, %v", got, err)
			}
			t.Logf("asked in %v", time.Since(begun))
			answer, err := s.FourLetter("dump")
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`Session Sets \(\d+\)/\(0\)`).MatchString(answer) {
				t.Errorf("a session is left:\n%s", answer)
			}
		})
	}
	t.Run("minSessionTimeout", func(t *testing.T) {
		t.Parallel()
		s := zktest.Start(t, zktest.ExtraConfig(map[string]string{"minSessionTimeout": "700"}))
		if got, err := SmallestTimeout(t.Context(), s.Addr(), nil); err != nil || got != 700*time.Millisecond {
			t.Fatalf("%v, %v", got, err)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		s := zktest.Start(t, zktest.IPv6())
		if got, err := SmallestTimeout(t.Context(), s.Addr(), nil); err != nil || got != time.Second {
			t.Fatalf("%v, %v", got, err)
		}
	})
	for name, addr := range map[string]string{
		"refused": zktest.Closed(t), "silent": zktest.Silent(t),
		"HTTP":                zktest.Garbage(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")),
		"expired":             zktest.Garbage(t, response(0, 0)),
		"no timeout":          zktest.Garbage(t, response(0, 7)),
		"cut in the response": zktest.Garbage(t, response(time.Second, 7)[:30]),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if got, err := SmallestTimeout(ctx, addr, nil); err == nil {
				t.Errorf("granted %v", got)
			} else {
				t.Log(err)
			}
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestErrorsNameTheServer(t *testing.T) {
	l := New([]string{"no-such-host.invalid:2181"}, 5*time.Second)
	if _, err := l.Dial("tcp", "no-such-host.invalid:2181", 0); err == nil {
		t.Fatal("resolved")
	}
	if err := l.Errors()["no-such-host.invalid:2181"]; err == nil {
		t.Error("nobody is told")
	} else {
		t.Log(err)
	}
}
