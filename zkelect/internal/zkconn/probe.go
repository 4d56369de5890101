package zkconn

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// SmallestTimeout asks the server at addr for a session of 1 ms and returns
// the timeout that it grants, which is the ensemble's minSessionTimeout: two
// ticks unless an operator set another (ZooKeeper Administrator's Guide,
// minSessionTimeout). The session is closed again.
func SmallestTimeout(ctx context.Context, addr string, secure Secure) (time.Duration, error) {
	config, err := secure.config(addr)
	if err != nil {
		return 0, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	// The socket itself, since TLS would have a last word.
	raw := c
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	if config != nil {
		c = tls.Client(c, config)
	}
	defer c.Close()
	if err := shake(c); err != nil {
		return 0, err
	}

	// ConnectRequest: protocolVersion i32, lastZxidSeen i64, timeOut i32,
	// sessionId i64, passwd: length i32 and 16 bytes.
	request := make([]byte, 4+44)
	binary.BigEndian.PutUint32(request[0:], 44)
	binary.BigEndian.PutUint32(request[16:], 1)
	binary.BigEndian.PutUint32(request[28:], 16)
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < minConnectResponse || size > maxConnectResponse {
		return 0, errors.New("not a ZooKeeper server")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return 0, err
	}
	r, err := parseConnectResponse(body)
	if err != nil {
		return 0, err
	}
	if r.session == 0 {
		return 0, errors.New("the server granted no session")
	}
	// closeSession (-11); its reply is awaited so that the session is gone.
	bye := make([]byte, 4+8)
	binary.BigEndian.PutUint32(bye[0:], 8)
	binary.BigEndian.PutUint32(bye[4:], 1)
	closeSession := int32(-11)
	binary.BigEndian.PutUint32(bye[8:], uint32(closeSession))
	if _, err := c.Write(bye); err == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, c)
	}
	return r.timeout, nil
}
