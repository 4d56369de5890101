package zktest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// Client returns a client of this server with a session of 10 s, ready for use
// and closed at the end of the test.
func (s *Server) Client(tb testing.TB) *zk.Conn {
	tb.Helper()
	return Dial(tb, 10*time.Second, s.Addr())
}

// Dial returns a client of these addresses (a [Proxy]'s, say), which has its
// session and is closed at the end of the test.
func Dial(tb testing.TB, session time.Duration, addrs ...string) *zk.Conn {
	tb.Helper()
	c, err := dial(session, addrs...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.close)
	return c.Conn
}

// client is a zk.Conn that can be closed for good. The library's own Close
// waits on a server that has fallen silent, and where it can't queue the request
// its loops go on reconnecting behind the back of the next test.
type client struct {
	*zk.Conn
	mu     sync.Mutex
	socket net.Conn
	closed bool
}

func dial(session time.Duration, addrs ...string) (*client, error) {
	c := &client{}
	conn, events, err := zk.Connect(addrs, session,
		zk.WithDialer(c.dialSocket), zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		return nil, fmt.Errorf("zktest: connect to %v: %w", addrs, err)
	}
	c.Conn = conn
	for timeout := time.After(startBound); ; {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return c, nil
			}
		case <-timeout:
			c.close()
			return nil, fmt.Errorf("zktest: no session with %v in %v", addrs, startBound)
		}
	}
}

func (c *client) dialSocket(network, addr string, timeout time.Duration) (net.Conn, error) {
	socket, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		socket.Close()
		return nil, net.ErrClosed
	}
	c.socket = socket
	return socket, nil
}

// close asks the server to end the session, waits a second at most, and then
// makes sure that nothing of the client goes on.
func (c *client) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Conn.Close()
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.socket != nil {
		c.socket.Close()
	}
}

// quiet is a logger that says nothing: a client under fault injection has much
// to complain about.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Chroot makes a random node of this server's root and returns the connect
// string that ends in it. At the end of the test it is removed with all that
// stands below.
func (s *Server) Chroot(tb testing.TB) string {
	tb.Helper()
	connect, remove, err := s.NewChroot()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := remove(); err != nil && s.Mode() != "" {
			tb.Logf("zktest: chroot left behind: %v", err)
		}
	})
	return connect
}

// NewChroot is [Server.Chroot] for those without a test.
func (s *Server) NewChroot() (connect string, remove func() error, err error) {
	path := fmt.Sprintf("/t%016x", rand.Uint64())
	c, err := dial(10*time.Second, s.Addr())
	if err != nil {
		return "", nil, err
	}
	defer c.close()
	if _, err := c.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		return "", nil, fmt.Errorf("zktest: create chroot %s: %w", path, err)
	}
	remove = func() error {
		if s.Mode() == "" {
			return s.named("remove chroot of", errors.New("it does not serve"))
		}
		c, err := dial(10*time.Second, s.Addr())
		if err != nil {
			return err
		}
		defer c.close()
		if err := c.AddAuth("digest", []byte(superUser)); err != nil {
			return fmt.Errorf("zktest: authenticate: %w", err)
		}
		return RemoveAll(c.Conn, path)
	}
	return s.Addr() + path, remove, nil
}

// RemoveAll deletes a node and all below it. What others create meanwhile (a
// candidate that is still leaving) is deleted as well, a few times over.
func RemoveAll(c *zk.Conn, path string) error {
	for try := 0; ; try++ {
		err := removeOnce(c, path)
		if !errors.Is(err, zk.ErrNotEmpty) || try == 10 {
			return err
		}
	}
}

func removeOnce(c *zk.Conn, path string) error {
	names, _, err := c.Children(path)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	for _, name := range names {
		if err := removeOnce(c, path+"/"+name); err != nil {
			return err
		}
	}
	if err := c.Delete(path, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("delete %s: %w", path, err)
	}
	return nil
}
