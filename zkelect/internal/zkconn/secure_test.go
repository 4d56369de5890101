package zkconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// secured is a server with a secure port, and how it is spoken to.
func secured(t *testing.T, opts ...zktest.Option) (*zktest.Server, Secure) {
	t.Helper()
	a, err := zktest.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Issue("zk", time.Time{}, "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := a.Issue("client", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(client.Certificate, client.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Certificate)
	return zktest.Start(t, append(opts, zktest.TLS(server, a.Certificate))...), func(host string) (*tls.Config, error) {
		return &tls.Config{ServerName: host, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
	}
}

func TestSmallestTimeoutByTLS(t *testing.T) {
	for name, opts := range map[string][]zktest.Option{"IPv4": nil, "IPv6": {zktest.IPv6()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, secure := secured(t, opts...)
			if got, err := SmallestTimeout(t.Context(), s.SecureAddr(), secure); err != nil || got != time.Second {
				t.Errorf("%v, %v", got, err)
			}
			// Neither port does what the other is for, and both end at once.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if got, err := SmallestTimeout(ctx, s.Addr(), secure); !errors.As(err, new(*HandshakeError)) || ctx.Err() != nil {
				t.Errorf("TLS to the plain port: %v, %v", got, err)
			}
			if got, err := SmallestTimeout(ctx, s.SecureAddr(), nil); err == nil || ctx.Err() != nil {
				t.Errorf("in the clear to the secure port: %v, %v", got, err)
			}
		})
	}
}

// TLS is asked for with the host's name alone.
func TestSecureGetsTheHost(t *testing.T) {
	for addr, want := range map[string]string{
		"zk1:2281": "zk1", "10.0.0.1:2281": "10.0.0.1", "[::1]:2281": "::1", "[fe80::1%eth0]:2281": "fe80::1",
	} {
		got := ""
		Secure(func(host string) (*tls.Config, error) { got = host; return nil, nil }).config(addr)
		if got != want {
			t.Errorf("%s: %q", addr, got)
		}
	}
}

// A server that says nothing to a TLS handshake is given up as soon as one that
// says nothing at all, and whoever ends the link waits for none.
func TestTLSHandshakeIsBounded(t *testing.T) {
	secure := func(host string) (*tls.Config, error) { return &tls.Config{ServerName: host}, nil }
	dial := func(l *Link) (time.Duration, error) {
		addr := zktest.Silent(t)
		l.Secure = secure
		begun := time.Now()
		_, err := l.Dial("tcp", addr, 0)
		if err == nil {
			t.Error("a silent server shook hands")
		}
		return time.Since(begun), l.Errors()[addr]
	}
	l := New([]string{"zk1:2281"}, 200*time.Millisecond)
	if took, why := dial(l); why == nil || errors.As(why, new(*HandshakeError)) || took < 150*time.Millisecond || took > 2*time.Second {
		t.Errorf("after %v, told: %v", took, why)
	}
	for name, end := range map[string]func(*Link){"kick": (*Link).Kick, "bar": (*Link).Bar} {
		l := New([]string{"zk1:2281"}, time.Minute)
		time.AfterFunc(100*time.Millisecond, func() { end(l) })
		if took, why := dial(l); why != nil || took > 10*time.Second {
			t.Errorf("%s: after %v, told: %v", name, took, why)
		}
	}
}

// A close must not wait for a peer that takes nothing any more.
func TestCloseOfABlockedTLSConnection(t *testing.T) {
	a, err := zktest.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Issue("zk", time.Time{}, "zk1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(server.Certificate, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Certificate)
	l := New([]string{"zk1:2281"}, time.Minute)
	l.Secure = func(host string) (*tls.Config, error) {
		return &tls.Config{ServerName: host, RootCAs: roots}, nil
	}
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) {
		client, other := net.Pipe() // whose writers wait for readers
		go tls.Server(other, &tls.Config{
			Certificates: []tls.Certificate{pair},
			// The tickets of 1.3 would be written, and never read.
			SessionTicketsDisabled: true,
		}).Handshake()
		return client, nil
	}
	c, err := l.Dial("tcp", "zk1:2281", 0)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	l.Kick()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the kick took %v", took)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
		t.Logf("a read then ends by %v", err)
	}
	if err := l.Errors()["zk1:2281"]; err != nil {
		t.Errorf("our own end is told as a fault: %v", err)
	}
}
