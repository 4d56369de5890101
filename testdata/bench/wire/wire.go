// Package wire is the least that a participant must say to a ZooKeeper server,
// written by hand: what the floor of the benchmark is made of. One request at a
// time, no reconnection, no goroutine that reads.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// The requests that are used, as ZooKeeper numbers them.
const (
	opCreate      = 1
	opExists      = 3
	opGetChildren = 8
	opPing        = 11
	opClose       = -11

	xidEvent = -1
	xidPing  = -2

	ephemeralSequential = 3
	permAll             = 31
	codeNoNode          = -101
	maxFrame            = 64 << 20
)

// Conn is one session on one connection.
type Conn struct {
	conn  net.Conn
	in    *bufio.Reader
	pings time.Duration // between two

	mu  sync.Mutex // for those who write
	xid int32
}

// Connect asks any of the servers, with commas between them, for a session of this length.
func Connect(servers string, session time.Duration) (*Conn, error) {
	all := strings.Split(servers, ",")
	conn, err := net.Dial("tcp", all[rand.IntN(len(all))])
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, in: bufio.NewReader(conn), pings: session / 3}
	var b buffer
	b.int32(0) // version
	b.int64(0) // the last transaction seen
	b.int32(int32(session.Milliseconds()))
	b.int64(0) // no session yet
	b.string(strings.Repeat("\x00", 16))
	b.bytes = append(b.bytes, 0) // not read-only
	if err := c.send(b); err != nil {
		return nil, err
	}
	answer, err := c.frame()
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if len(answer) < 8 || binary.BigEndian.Uint32(answer[4:]) == 0 {
		return nil, errors.New("session: refused")
	}
	return c, nil
}

// Join makes an ephemeral sequential node of that prefix and returns its path.
func (c *Conn) Join(prefix string) (string, error) {
	var b buffer
	b.string(prefix)
	b.string("") // data
	b.int32(1)   // one entry of the access list: world may do all
	b.int32(permAll)
	b.string("world")
	b.string("anyone")
	b.int32(ephemeralSequential)
	body, _, err := c.ask(opCreate, b)
	if err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	return string(body[4:]), nil
}

// List returns the children of a node in the order of their sequence numbers.
func (c *Conn) List(path string) ([]string, error) {
	var b buffer
	b.string(path)
	b.bytes = append(b.bytes, 0) // no watch
	body, _, err := c.ask(opGetChildren, b)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	names := make([]string, binary.BigEndian.Uint32(body))
	rest := body[4:]
	for i := range names {
		n := binary.BigEndian.Uint32(rest)
		names[i], rest = string(rest[4:4+n]), rest[4+n:]
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) })
	return names, nil
}

func sequence(name string) string { return name[max(0, len(name)-10):] }

// AwaitTurn returns once the node of that name, below that path, is the first. It calls
// waiting whenever it has another's node to wait for, and watches it.
func (c *Conn) AwaitTurn(dir, own string, waiting func()) error {
	for {
		names, err := c.List(dir)
		if err != nil {
			return err
		}
		before := ""
		for _, name := range names {
			if name == own {
				break
			}
			before = name
		}
		if before == "" {
			return nil
		}
		if err := c.awaitGone(dir+"/"+before, waiting); err != nil {
			return err
		}
	}
}

// awaitGone returns once the node is gone. Meanwhile it keeps the session alive.
func (c *Conn) awaitGone(path string, waiting func()) error {
	var b buffer
	b.string(path)
	b.bytes = append(b.bytes, 1) // watch
	_, code, err := c.ask(opExists, b)
	if code == codeNoNode {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	waiting()
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.pings)); err != nil {
			return err
		}
		// A deadline that strikes within a frame would lose the rest of it.
		_, err := c.in.Peek(4)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err := c.ping(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		answer, err := c.frame()
		if err != nil {
			return err
		}
		if int32(binary.BigEndian.Uint32(answer)) == xidEvent {
			return nil
		}
	}
}

// KeepAlive keeps the session alive until the function that it returns is called.
// The answers are read by who asks next.
func (c *Conn) KeepAlive() (stop func()) {
	ticks := time.NewTicker(c.pings)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticks.C:
				_ = c.ping() // the next request fails too
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticks.Stop()
		close(done)
	}
}

// Close ends the session and with it all that is ephemeral, and waits for the
// answer, which says so.
func (c *Conn) Close() error {
	_, _, err := c.ask(opClose, buffer{})
	return errors.Join(err, c.conn.Close())
}

func (c *Conn) ping() error {
	var b buffer
	b.int32(xidPing)
	b.int32(opPing)
	return c.send(b)
}

// ask sends a request and returns the body of its answer.
func (c *Conn) ask(op int32, body buffer) (answer []byte, code int32, err error) {
	c.xid++
	var b buffer
	b.int32(c.xid)
	b.int32(op)
	b.bytes = append(b.bytes, body.bytes...)
	if err := c.send(b); err != nil {
		return nil, 0, err
	}
	for {
		answer, err := c.frame()
		if err != nil {
			return nil, 0, err
		}
		if int32(binary.BigEndian.Uint32(answer)) != c.xid { // of a ping
			continue
		}
		if code := int32(binary.BigEndian.Uint32(answer[12:])); code != 0 {
			return nil, code, fmt.Errorf("the server's code %d", code)
		}
		return answer[16:], 0, nil
	}
}

func (c *Conn) send(b buffer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(b.bytes)))
	_, err := c.conn.Write(append(frame, b.bytes...))
	return err
}

func (c *Conn) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(c.in, frame)
	return frame, err
}

// buffer takes the fields of a frame as ZooKeeper writes them.
type buffer struct{ bytes []byte }

func (b *buffer) int32(v int32) { b.bytes = binary.BigEndian.AppendUint32(b.bytes, uint32(v)) }
func (b *buffer) int64(v int64) { b.bytes = binary.BigEndian.AppendUint64(b.bytes, uint64(v)) }

func (b *buffer) string(s string) {
	b.int32(int32(len(s)))
	b.bytes = append(b.bytes, s...)
}
