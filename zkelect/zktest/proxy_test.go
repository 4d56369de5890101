package zktest

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sys/unix"
)

// through returns a proxy before the shared server, a client that goes through
// it, one that goes straight, and a node of this test's own.
func through(t *testing.T) (p *Proxy, c, direct *zk.Conn, root string) {
	t.Helper()
	s := Shared(t)
	chroot := s.Chroot(t)
	p = NewProxy(t, s.Addr())
	c = Dial(t, 6*time.Second, p.Addr())
	return p, c, s.Client(t), chroot[len(s.Addr()):]
}

// begin sends a create without waiting for its answer.
func begin(c *zk.Conn, path string) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := c.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
		answer <- err
	}()
	return answer
}

func silent(t *testing.T, answer <-chan error, during time.Duration) {
	t.Helper()
	select {
	case err := <-answer:
		t.Fatalf("answered in a cut: %v", err)
	case <-time.After(during):
	}
}

func answered(t *testing.T, answer <-chan error) error {
	t.Helper()
	select {
	case err := <-answer:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
		return nil
	}
}

func exists(t *testing.T, c *zk.Conn, path string) bool {
	t.Helper()
	there, _, err := c.Exists(path)
	must(t, err)
	return there
}

func TestCutHoldsBothWays(t *testing.T) {
	p, c, direct, root := through(t)
	p.Cut()
	answer := begin(c, root+"/a")
	silent(t, answer, 500*time.Millisecond)
	if exists(t, direct, root+"/a") {
		t.Fatal("the request went through the cut")
	}
	p.Heal()
	must(t, answered(t, answer))
	if n := len(p.Requests(Of(Connect))); n != 1 {
		t.Fatalf("a short cut cost the connection: %d connects", n)
	}
}

func TestCutOneWay(t *testing.T) {
	p, c, direct, root := through(t)
	p.CutDown()
	answer := begin(c, root+"/down")
	within(t, 2*time.Second, "executed while the way down is cut", func() bool { return exists(t, direct, root+"/down") })
	silent(t, answer, 100*time.Millisecond)
	p.Heal()
	must(t, answered(t, answer))

	p.CutUp()
	answer = begin(c, root+"/up")
	silent(t, answer, 300*time.Millisecond)
	if exists(t, direct, root+"/up") {
		t.Fatal("the request went through the cut")
	}
	p.Heal()
	must(t, answered(t, answer))
}

func TestCutOutlastsTheSession(t *testing.T) {
	s := Shared(t)
	p := NewProxy(t, s.Addr())
	c := Dial(t, 1500*time.Millisecond, p.Addr())
	create(t, c, "/cut-session", "", zk.FlagEphemeral)
	gone := s.DeletedAt(t, "/cut-session")
	begun := Stamp()
	p.Cut()
	select {
	case m := <-gone:
		t.Logf("ephemeral node gone %v after the cut", time.Duration(m.Boot-begun))
	case <-time.After(10 * time.Second):
		t.Fatal("the session outlives the cut")
	}
	// By now the client has given its first connection up and tries others.
	within(t, 5*time.Second, "a second connection", func() bool { return p.Conns() > 1 })
	p.Heal()
	within(t, 10*time.Second, "a session again", func() bool { return c.State() == zk.StateHasSession })
}

// A request that was under way when its client gave up executes when the
// network heals: TCP owes nobody a warning.
func TestHealDeliversLate(t *testing.T) {
	s := Shared(t)
	chroot := s.Chroot(t)
	path := chroot[len(s.Addr()):] + "/late"
	p, direct := NewProxy(t, s.Addr()), s.Client(t)
	c, err := dial(20*time.Second, p.Addr())
	must(t, err)
	f := p.CutBefore(On(path, Create))
	answer := begin(c.Conn, path)
	f.Wait(t, 5*time.Second)
	c.close() // and with it the socket
	if answered(t, answer) == nil || exists(t, direct, path) {
		t.Fatal("the request went through the cut")
	}
	p.Heal()
	within(t, 5*time.Second, "the late request", func() bool { return exists(t, direct, path) })
}

func TestDropLosesAndHealResets(t *testing.T) {
	p, c, direct, root := through(t)
	p.Drop()
	answer := begin(c, root+"/a")
	silent(t, answer, 300*time.Millisecond)
	p.Heal()
	if err := answered(t, answer); err == nil {
		t.Fatal("a lost request was answered")
	}
	within(t, 5*time.Second, "a new connection", func() bool { return c.State() == zk.StateHasSession })
	must(t, answered(t, begin(c, root+"/b")))
	if exists(t, direct, root+"/a") {
		t.Fatal("a lost request was executed")
	}
}

func TestResetRefuseAccept(t *testing.T) {
	p, c, _, root := through(t)
	session := c.SessionID()
	must(t, p.Refuse(true))
	p.Reset()
	within(t, 2*time.Second, "the disconnection", func() bool { return c.State() != zk.StateHasSession && p.Conns() == 0 })
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		conn.Close()
		t.Fatal("a refusing proxy accepts")
	}
	must(t, p.Refuse(false))
	within(t, 5*time.Second, "the reconnection", func() bool { return c.State() == zk.StateHasSession })
	must(t, answered(t, begin(c, root+"/a")))
	if c.SessionID() != session {
		t.Fatal("a reset cost the session")
	}
}

func TestResetIsRST(t *testing.T) {
	p := NewProxy(t, Silent(t))
	conn, err := net.Dial("tcp", p.Addr())
	must(t, err)
	defer conn.Close()
	within(t, 2*time.Second, "the connection", func() bool { return p.Conns() == 1 })
	p.Reset()
	if _, err := conn.Read(make([]byte, 1)); err == nil || !isReset(err) {
		t.Fatalf("%v is no reset", err)
	}
}

func isReset(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Unwrap().Error() == "read: "+unix.ECONNRESET.Error()
}

func TestDelay(t *testing.T) {
	p, c, _, root := through(t)
	p.Delay(100*time.Millisecond, 50*time.Millisecond)
	begun := time.Now()
	var answers []<-chan error
	for _, name := range []string{"/a", "/b", "/c", "/d"} {
		answers = append(answers, begin(c, root+name))
	}
	for _, a := range answers {
		must(t, answered(t, a))
	}
	if took := time.Since(begun); took < 150*time.Millisecond || took > 550*time.Millisecond {
		t.Fatalf("four requests at once took %v through a delay of 150ms", took)
	}
	p.Delay(0, 0)
}

func TestCutReplyExecutes(t *testing.T) {
	p, c, direct, root := through(t)
	f := p.CutReply(func(o Op) bool { return o.Type == Multi })
	_, err := c.Multi(
		&zk.CreateRequest{Path: root + "/m", Data: []byte("data"), Acl: zk.DigestACL(zk.PermAll, "u", "p")},
		&zk.SetDataRequest{Path: root, Data: []byte("x"), Version: 0},
		&zk.CheckVersionRequest{Path: root, Version: 1},
		&zk.DeleteRequest{Path: root + "/m", Version: 0},
		&zk.CreateRequest{Path: root + "/last", Acl: zk.WorldACL(zk.PermAll), Flags: zk.FlagEphemeral},
	)
	if err == nil {
		t.Fatal("the reply came through")
	}
	want := "multi(create " + root + "/m, setData " + root + ", check " + root + ", delete " + root + "/m, create " + root + "/last)"
	if op := f.Wait(t, time.Second); op.String() != want {
		t.Fatalf("got  %s\nwant %s", op, want)
	}
	if !exists(t, direct, root+"/last") {
		t.Fatal("the multi was not executed")
	}
	within(t, 5*time.Second, "the reconnection", func() bool { return c.State() == zk.StateHasSession })
	must(t, answered(t, begin(c, root+"/next"))) // spent: this one passes
}

func TestCutReplyOfConnect(t *testing.T) {
	s := Shared(t)
	p := NewProxy(t, s.Addr())
	f := p.CutReply(Of(Connect))
	c := Dial(t, 6*time.Second, p.Addr()) // gets the second session
	f.Wait(t, time.Second)
	if n := len(p.Requests(Of(Connect))); n != 2 {
		t.Fatalf("%d connects", n)
	}
	create(t, c, "/second", "", zk.FlagEphemeral)
}

func TestHoldReplyStaysSilent(t *testing.T) {
	s := Shared(t)
	p := NewProxy(t, s.Addr())
	c, direct := Dial(t, 3*time.Second, p.Addr()), s.Client(t)
	f := p.HoldReply(On("/held", Create))
	answer := begin(c, "/held")
	f.Wait(t, time.Second)
	if !exists(t, direct, "/held") {
		t.Fatal("not executed")
	}
	silent(t, answer, 500*time.Millisecond)
	if p.Conns() != 1 {
		t.Fatalf("%d connections", p.Conns())
	}
	begun := time.Now()
	if answered(t, answer) == nil { // the client's own timer, two thirds of 3 s
		t.Fatal("the reply came through")
	}
	t.Logf("the client gave up %v later", time.Since(begun))
	within(t, 5*time.Second, "the reconnection", func() bool { return c.State() == zk.StateHasSession })
}

func TestDropRequest(t *testing.T) {
	p, c, direct, root := through(t)
	p.DropRequest(On(root+"/never", Create)).Cancel()
	must(t, answered(t, begin(c, root+"/never-mind")))
	f := p.DropRequest(On(root+"/a", Create))
	if answered(t, begin(c, root+"/a")) == nil {
		t.Fatal("a dropped request was answered")
	}
	f.Wait(t, time.Second)
	if exists(t, direct, root+"/a") {
		t.Fatal("a dropped request was executed")
	}
	within(t, 5*time.Second, "the reconnection", func() bool { return c.State() == zk.StateHasSession })
}

func TestRecords(t *testing.T) {
	p, c, direct, root := through(t)
	_, _, events, err := c.ChildrenW(root)
	must(t, err)
	create(t, direct, root+"/child", "", 0)
	<-events
	got := p.Events()
	if len(got) != 1 || got[0].Type != zk.EventNodeChildrenChanged || got[0].Path != root ||
		got[0].Session != c.SessionID() || got[0].Conn != 1 {
		t.Fatalf("events: %+v", got)
	}
	asked := p.Requests(On(root))
	if len(asked) != 1 || asked[0].Type != GetChildren2 || asked[0].Session != c.SessionID() || asked[0].At.Boot == 0 {
		t.Fatalf("requests: %+v", asked)
	}
	p.Forget()
	if len(p.Events())+len(p.Requests(nil)) != 0 {
		t.Fatal("not forgotten")
	}
}

// What is not framed passes through: here a four letter word, whose sender
// closes its half before it reads, as nc does.
func TestUnframedPassesThrough(t *testing.T) {
	p := NewProxy(t, Shared(t).Addr())
	conn, err := net.Dial("tcp", p.Addr())
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "ruok")
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "imok" {
		t.Fatalf("%q, %v", answer, err)
	}
}

func TestParseSurvivesAnything(t *testing.T) {
	frame := make([]byte, 64)
	for b := range 256 {
		for i := range frame {
			frame[i] = byte(b)
			for _, opType := range []byte{1, 14, 21} {
				copy(frame[8:], []byte{0, 0, 0, opType})
				parseRequest(frame)
				parseRequest(frame[:4+i%60])
			}
		}
	}
}
