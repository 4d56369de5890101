package zkconn

import (
	"net"
	"testing"
	"time"
)

// BenchmarkFrames is what looking at a server's replies costs, for each of them, as a
// read brings in many.
func BenchmarkFrames(b *testing.B) {
	const each = 256
	l := New([]string{"zk1:2181"}, time.Second)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l.dialFunc = func(string, string, time.Duration) (net.Conn, error) { return ours, nil }
	dialed, err := l.Dial("tcp", "zk1:2181", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer dialed.Close()
	c := dialed.(*conn)
	if err := c.inspect(response(30*time.Second, 7)); err != nil {
		b.Fatal(err)
	}
	reply := frame(make([]byte, each)...)
	for b.Loop() {
		if err := c.inspect(reply); err != nil {
			b.Fatal(err)
		}
	}
}
