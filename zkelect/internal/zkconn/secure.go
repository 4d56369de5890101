package zkconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Secure gives the TLS of one connection to host, a name or an address, with
// host as the ServerName unless another is wanted. It is asked for each
// connection, so that renewed certificates count at once. A nil one is none:
// connections are in the clear.
type Secure func(host string) (*tls.Config, error)

// config is the TLS of a connection to addr, nil for none.
func (s Secure) config(addr string) (*tls.Config, error) {
	if s == nil {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone is this host's affair; no certificate has one
	return s(host)
}

// ErrSpeaksTLS: we spoke in the clear and were answered in TLS.
var ErrSpeaksTLS = errors.New("not a ZooKeeper server: the answer is TLS")

// HandshakeError is why there is no TLS with a server.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Error() string { return "TLS handshake: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *HandshakeError) Unwrap() error { return e.Err }

// HangUp is a connection that the other side ended before it had answered.
// With TLS 1.3 it is also how a server refuses our certificate: that comes
// after the handshake.
type HangUp struct {
	Secure bool // behind a TLS handshake
	Err    error
}

func (e *HangUp) Error() string { return fmt.Sprintf("connected, but hung up on: %v", e.Err) }

// Unwrap gives the reason.
func (e *HangUp) Unwrap() error { return e.Err }

// shake makes the TLS handshake, where there is one to make. Whoever bounds it
// closes the connection.
func shake(c net.Conn) error {
	if secure, ok := c.(*tls.Conn); ok {
		if err := secure.Handshake(); err != nil {
			return &HandshakeError{err}
		}
	}
	return nil
}
