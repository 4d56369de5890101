package zkconn

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The sizes of frames that a ZooKeeper server can send, in bytes.
const (
	minConnectResponse = 36
	maxConnectResponse = 64
	minReply           = 16 // the reply header; the library panics on less
)

// connectResponse is the part of the first inbound frame that matters:
// len i32, protocolVersion i32, timeOut i32 (ms), sessionId i64, ...
// (ZooKeeper, zookeeper.jute, ConnectResponse).
type connectResponse struct {
	timeout time.Duration
	session int64
}

// conn looks at what the server sends while the library reads it.
type conn struct {
	net.Conn
	raw      net.Conn // the same without TLS
	link     *Link
	addr     string
	watchdog *time.Timer

	head   [4]byte
	nhead  int
	body   int    // bytes of the present frame that are still to come
	first  []byte // the connect response as far as it has come
	shaken bool

	// rearmed is closed when the library has sent its watches again; nil where
	// it has none. Read forgets it, sent does not.
	rearmed, sent chan struct{}
	once          sync.Once
	// asked gets the credentials that are sent meanwhile. The library awaits the
	// answer to each before all else, so that one is passed on: answering is true then.
	asked     chan struct{}
	answering bool
}

// rearmBound is how long replies wait for the library to send its watches again.
const rearmBound = 100 * time.Millisecond

// recordAlert begins what a TLS server answers to what is no TLS; then comes
// its version, 3.x (RFC 5246, 6.2.1 and 7.2).
const recordAlert = 21

// The library's own requests: the first two on a new connection.
const (
	opSetAuth    = 100 // first, where there are credentials
	opSetWatches = 101 // sets watches again
	opPing       = 11
)

// Read passes on what the server sent, unless it is no ZooKeeper server's.
func (c *conn) Read(p []byte) (int, error) {
	if c.rearmed != nil && !c.answering {
		// With its watches the library names the newest transaction that it has
		// seen, and reads that without a lock while its receiving loop writes it.
		// A reply that came in before would make the server keep back an event
		// that nobody has seen.
		select {
		case <-c.rearmed:
			c.rearmed = nil
		case <-c.asked: // whose answer has no transaction
			c.answering = true
		case <-time.After(rearmBound):
			c.rearmed = nil
		}
	}
	n, err := c.Conn.Read(p)
	if ferr := c.inspect(p[:n]); ferr != nil {
		c.link.note(c.addr, ferr)
		c.Close()
		return 0, ferr
	}
	if err != nil && !c.shaken {
		c.hungUp(err)
	}
	return n, err
}

// hungUp notes the end of a connection that has not brought an answer.
func (c *conn) hungUp(err error) { c.noteEnd(&HangUp{Secure: c.Conn != c.raw, Err: err}) }

// noteEnd notes why a connection has ended before its time, unless we ended it:
// then the reason is noted already, or there is none.
func (c *conn) noteEnd(err error) {
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		c.link.note(c.addr, err)
	}
}

// Write looks for credentials and for the watches that are set again. The library
// writes a request in one piece: length, xid, type.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if !c.shaken && c.link.Asked != nil {
		c.link.Asked()
	}
	if len(p) >= 12 && c.shaken {
		switch op := binary.BigEndian.Uint32(p[8:]); {
		case op == opPing:
		case op == opSetAuth && c.sent != nil:
			select {
			case c.asked <- struct{}{}:
			default: // replies do not wait any more
			}
		case op == opSetWatches && c.sent != nil:
			c.once.Do(func() { close(c.sent) })
		default:
			c.link.wrote()
		}
	}
	if err != nil && !c.shaken {
		c.hungUp(err)
	}
	return n, err
}

// partingBound is how long the other side may take our word that we go.
const partingBound = 50 * time.Millisecond

// Close also ends the wait for the handshake. A TLS connection that ends without
// a word is an error in a server's log; but where the way is blocked, that word
// must not hold up a leader who wants another server.
func (c *conn) Close() error {
	c.watchdog.Stop()
	if secure, ok := c.Conn.(*tls.Conn); ok {
		said := make(chan struct{})
		go func() { secure.Close(); close(said) }()
		select {
		case <-said:
		case <-time.After(partingBound):
		}
	}
	return c.raw.Close()
}

func (c *conn) inspect(p []byte) error {
	for len(p) > 0 {
		if c.body == 0 {
			n := copy(c.head[c.nhead:], p)
			c.nhead += n
			p = p[n:]
			if c.nhead < len(c.head) {
				return nil
			}
			c.nhead = 0
			size := int(int32(binary.BigEndian.Uint32(c.head[:])))
			switch {
			case !c.shaken && c.head[0] == recordAlert && c.head[1] == 3 && c.Conn == c.raw:
				return ErrSpeaksTLS
			case !c.shaken && (size < minConnectResponse || size > maxConnectResponse):
				return fmt.Errorf("not a ZooKeeper server: the answer begins with %q", c.head[:])
			case size < minReply:
				return fmt.Errorf("a frame of %d bytes is no reply", size)
			}
			c.body = size
			continue
		}
		n := min(c.body, len(p))
		if !c.shaken {
			c.first = append(c.first, p[:n]...)
		}
		c.body -= n
		p = p[n:]
		c.answering = c.answering && c.body > 0
		if c.body == 0 && !c.shaken {
			c.shaken = true
			c.watchdog.Stop()
			r, err := parseConnectResponse(c.first)
			if err != nil {
				return err
			}
			if err := c.link.negotiated(c.addr, r); err != nil {
				return err
			}
			c.first = nil
			if c.link.Watching != nil && c.link.Watching() {
				c.sent, c.asked = make(chan struct{}), make(chan struct{}, 1)
				c.rearmed = c.sent
			}
		}
	}
	return nil
}

// parseConnectResponse takes a connect response apart. What the library could
// not bear is refused: it panics on a timeout of nothing, and allocates the
// length that a password claims to have.
func parseConnectResponse(b []byte) (connectResponse, error) {
	r := connectResponse{
		timeout: time.Duration(int32(binary.BigEndian.Uint32(b[4:8]))) * time.Millisecond,
		session: int64(binary.BigEndian.Uint64(b[8:16])),
	}
	if password := int32(binary.BigEndian.Uint32(b[16:20])); password != 16 || r.session != 0 && r.timeout <= 0 {
		return r, fmt.Errorf("not a ZooKeeper server: it grants a timeout of %v and a password of %d bytes", r.timeout, password)
	}
	return r, nil
}
