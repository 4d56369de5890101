package zktest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The kinds of request, as numbered by ZooKeeper.
const (
	Create          int32 = 1
	Delete          int32 = 2
	Exists          int32 = 3
	GetData         int32 = 4
	SetData         int32 = 5
	GetACL          int32 = 6
	SetACL          int32 = 7
	GetChildren     int32 = 8
	Sync            int32 = 9
	Ping            int32 = 11
	GetChildren2    int32 = 12
	Check           int32 = 13
	Multi           int32 = 14
	Create2         int32 = 15
	CreateContainer int32 = 19
	CreateTTL       int32 = 21
	MultiRead       int32 = 22
	Auth            int32 = 100
	SetWatches      int32 = 101
	// Connect is the request for a session, the first frame of a connection.
	// It has no type on the wire; this is the server's own name for it.
	Connect int32 = -10
	Close   int32 = -11
)

var opNames = map[int32]string{
	Create: "create", Delete: "delete", Exists: "exists", GetData: "getData", SetData: "setData",
	GetACL: "getACL", SetACL: "setACL", GetChildren: "getChildren", Sync: "sync", Ping: "ping",
	GetChildren2: "getChildren2", Check: "check", Multi: "multi", Create2: "create2",
	CreateContainer: "createContainer", CreateTTL: "createTTL", MultiRead: "multiRead",
	Auth: "auth", SetWatches: "setWatches", Connect: "connect", Close: "close",
}

// An Op is one request of a client, or one part of a multi.
type Op struct {
	Type int32
	Xid  int32
	Path string // empty where the request has none
	Ops  []Op   // the parts of a multi
}

func (o Op) String() string {
	name := opNames[o.Type]
	if name == "" {
		name = fmt.Sprintf("op%d", o.Type)
	}
	if o.Type != Multi && o.Type != MultiRead {
		return strings.TrimSpace(name + " " + o.Path)
	}
	parts := make([]string, len(o.Ops))
	for i, part := range o.Ops {
		parts[i] = part.String()
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}

// Any tells whether the match holds for the request or for a part of it.
func (o Op) Any(match func(Op) bool) bool { return match(o) || slices.ContainsFunc(o.Ops, match) }

// Of matches requests of these types; parts of a multi don't count.
func Of(types ...int32) func(Op) bool {
	return func(o Op) bool { return slices.Contains(types, o.Type) }
}

// On matches requests of one of these types, of any where none is given, to a
// path that begins with prefix; a part of a multi counts.
func On(prefix string, types ...int32) func(Op) bool {
	return func(o Op) bool {
		return o.Any(func(o Op) bool {
			return o.Path != "" && strings.HasPrefix(o.Path, prefix) &&
				(len(types) == 0 || slices.Contains(types, o.Type))
		})
	}
}

// maxFrame is more than any frame of ZooKeeper. What claims to be longer is
// something else: a four letter word read as a length is above 1.6 GB, the first
// bytes of TLS 360 MB.
const maxFrame = 64 << 20

// errNotFramed says that the bytes read so far are no frame. They are returned
// along with it.
var errNotFramed = errors.New("not a ZooKeeper frame")

// readFrame reads one frame, its length included.
func readFrame(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if n, err := io.ReadFull(r, head); err != nil {
		return head[:n], err
	}
	length := binary.BigEndian.Uint32(head)
	if length > maxFrame {
		return head, errNotFramed
	}
	frame := append(head, make([]byte, length)...)
	n, err := io.ReadFull(r, frame[4:])
	return frame[:4+n], err
}

// decoder reads the fields of a frame, big-endian as Jute writes them. Once
// short it yields zeros: a frame we misread must not stop the test, and shows as
// an Op without a path.
type decoder struct{ rest []byte }

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.rest = nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.take(1)
	return b != nil && b[0] != 0
}

// buffer reads a length and as many bytes; a length of -1 stands for nil.
func (d *decoder) buffer() []byte { return d.take(int(max(0, d.int32()))) }

func (d *decoder) string() string { return string(d.buffer()) }

// parseRequest reads a client's frame other than its first.
func parseRequest(frame []byte) Op {
	d := &decoder{frame[4:]}
	o := Op{Xid: d.int32(), Type: d.int32()}
	switch o.Type {
	case Multi, MultiRead:
		o.Ops = d.multi(o.Xid)
	case Ping, Auth, SetWatches, Close:
	default: // all others begin with a path, or with bytes that are none
		if path := d.string(); strings.HasPrefix(path, "/") {
			o.Path = path
		}
	}
	return o
}

// multi reads the parts of a multi up to the header that says "done".
func (d *decoder) multi(xid int32) (ops []Op) {
	for {
		part := Op{Type: d.int32(), Xid: xid}
		done := d.bool()
		d.int32() // the header's error, of use in replies alone
		if done || len(d.rest) == 0 {
			return ops
		}
		part.Path = d.string()
		known := d.skipBody(part.Type)
		ops = append(ops, part)
		if !known {
			return ops // its length is unknown, so what follows can't be found
		}
	}
}

// skipBody skips what follows the path in a part of a multi.
func (d *decoder) skipBody(opType int32) (known bool) {
	switch opType {
	case Create, Create2, CreateContainer, CreateTTL:
		d.buffer() // data
		for range d.int32() {
			if len(d.rest) == 0 {
				break
			}
			d.int32()  // permissions
			d.string() // scheme
			d.string() // id
		}
		d.int32() // flags
		if opType == CreateTTL {
			d.int64()
		}
	case Delete, Check:
		d.int32() // version
	case SetData:
		d.buffer()
		d.int32()
	case GetData, GetChildren:
		d.bool() // watch
	default:
		return false
	}
	return true
}

// xidEvent stands in the place of the xid in a watch event, which answers none.
const xidEvent = -1

// parseReply reads the header of a server's frame other than its first.
func parseReply(frame []byte) (xid, code int32, body *decoder) {
	d := &decoder{frame[4:]}
	xid = d.int32()
	d.int64() // zxid
	return xid, d.int32(), d
}

// parseSession reads the session id out of the server's first frame.
func parseSession(frame []byte) int64 {
	d := &decoder{frame[4:]}
	d.int32() // protocol version
	d.int32() // negotiated timeout
	return d.int64()
}
