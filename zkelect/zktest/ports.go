package zktest

import (
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A port is a TCP port of the loopback that the system chose and that is held
// for as long as this value is open.
//
// To ask for port 0, close and hope is a race: until the server binds the
// number (a second for Java; for ever, once it was killed and is to come back on
// the same port) any other test may be given it, even as the *outgoing* end of
// a connection. So a socket stays bound to it without listening. SO_REUSEADDR
// on both sides lets whoever names the port bind and listen beside it, while
// the kernel no longer gives it to anyone who asks for any port; and until
// someone listens, the port refuses connections.
type port struct {
	number int
	held   *os.File // closing it twice does no harm, as closing a bare number would
}

// reserve holds a free port of ip, 127.0.0.1 or ::1.
func reserve(ip string) (p port, err error) {
	family, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if ip == "::1" {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, fmt.Errorf("reserve a port of %s: %w", ip, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			err = fmt.Errorf("reserve a port of %s: %w", ip, err)
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return port{}, err
	}
	if err := unix.Bind(fd, addr); err != nil {
		return port{}, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return port{}, err
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		return port{number: a.Port, held: os.NewFile(uintptr(fd), "port")}, nil
	case *unix.SockaddrInet6:
		return port{number: a.Port, held: os.NewFile(uintptr(fd), "port")}, nil
	}
	return port{}, fmt.Errorf("unexpected address %T", bound)
}

func (p port) release() {
	if p.held != nil { // on a host of its own, none is
		p.held.Close()
	}
}

// addr returns the port on 127.0.0.1.
func (p port) addr() string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(p.number)) }

// FreePort returns a port of 127.0.0.1 that is this test's own until its end.
// It refuses connections until something listens on it by its number.
func FreePort(tb testing.TB) int {
	tb.Helper()
	p, err := reserve("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.release)
	return p.number
}
