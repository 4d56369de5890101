package zktest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sys/unix"
)

// launcherEnv makes the test binary a program that starts a server and then
// waits to be killed: see TestServerDiesWithItsParent.
const launcherEnv = "ZKTEST_LAUNCHER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(launcherEnv); dir != "" {
		s, err := Launch(dir)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.Pid())
		select {}
	}
	os.Exit(Main(m))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, c *zk.Conn, path, data string, flags int32) {
	t.Helper()
	_, err := c.Create(path, []byte(data), flags, zk.WorldACL(zk.PermAll))
	must(t, err)
}

// within fails the test unless the condition comes true in time.
func within(t *testing.T, bound time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", bound, what)
		}
	}
}

func TestServerKeepsPortAndData(t *testing.T) {
	begun := time.Now()
	s := Start(t)
	t.Logf("serving after %v", time.Since(begun))
	if got := s.Mode(); got != "standalone" {
		t.Fatalf("mode %q", got)
	}
	c := s.Client(t)
	create(t, c, "/kept", "1", 0)
	_, err := c.CreateContainer("/container", nil, zk.FlagContainer, zk.WorldACL(zk.PermAll))
	must(t, err)

	addr, pid := s.Addr(), s.Pid()
	must(t, s.Kill())
	if s.Pid() != 0 || s.Mode() != "" {
		t.Fatal("still there after Kill")
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Fatal("a killed server's port accepts")
	}
	begun = time.Now()
	must(t, s.Restart())
	t.Logf("again after %v", time.Since(begun))
	if s.Addr() != addr || s.Pid() == pid {
		t.Fatalf("restarted as %s, pid %d", s.Addr(), s.Pid())
	}
	data, _, err := s.Client(t).Get("/kept")
	if err != nil || string(data) != "1" {
		t.Fatalf("data after the restart: %q, %v", data, err)
	}

	if s.Wipe() == nil {
		t.Fatal("wiped a running server")
	}
	must(t, s.Kill())
	must(t, s.Wipe())
	must(t, s.Restart())
	if there, _, err := s.Client(t).Exists("/kept"); err != nil || there {
		t.Fatalf("node after the wipe: %v, %v", there, err)
	}
}

func TestStoppedServerAcceptsAndIsSilent(t *testing.T) {
	s := Start(t)
	must(t, s.Stop())
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		t.Fatalf("a stopped server's kernel refuses: %v", err)
	}
	conn.Close()
	if got := s.Mode(); got != "" {
		t.Fatalf("a stopped server says %q", got)
	}
	must(t, s.Cont())
	within(t, 5*time.Second, "serving again", func() bool { return s.Mode() == "standalone" })
}

func TestIPv6(t *testing.T) {
	s := Start(t, IPv6(), TickTime(time.Second), ExtraConfig(map[string]string{"minSessionTimeout": "700"}))
	if !strings.HasPrefix(s.Addr(), "[::1]:") {
		t.Fatal(s.Addr())
	}
	if conf, err := s.FourLetter("conf"); err != nil || !strings.Contains(conf, "minSessionTimeout=700") {
		t.Fatalf("%s, %v", conf, err)
	}
	create(t, s.Client(t), "/v6", "", 0)
}

func TestSharedAndChroot(t *testing.T) {
	s := Shared(t)
	if s != Shared(t) {
		t.Fatal("two shared servers")
	}
	var chroot string
	t.Run("inner", func(t *testing.T) {
		addr, name, _ := strings.Cut(s.Chroot(t), "/")
		if addr != s.Addr() {
			t.Fatal(addr)
		}
		chroot = "/" + name
		c := s.Client(t)
		create(t, c, chroot+"/a", "", 0)
		must(t, c.AddAuth("digest", []byte("me:secret")))
		_, err := c.Create(chroot+"/a/b", nil, 0, zk.AuthACL(zk.PermAll))
		must(t, err)
	})
	if there, _, err := s.Client(t).Exists(chroot); err != nil || there {
		t.Fatalf("chroot after its test: %v, %v", there, err)
	}
}

func TestServerDiesWithItsParent(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), launcherEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line := make([]byte, 64)
	n, err := out.Read(line)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatalf("launcher: %s", line[:n])
	}
	time.Sleep(time.Second) // idle threads may go: the server must not go with one
	must(t, unix.Kill(pid, 0))
	must(t, cmd.Process.Kill())
	within(t, 5*time.Second, "the server's death", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestEnsembleElectsAnew(t *testing.T) {
	begun := time.Now()
	e := StartEnsemble(t, 3)
	t.Logf("serving after %v", time.Since(begun))
	old := e.Leader()
	if old == nil || len(e.Followers()) != 2 {
		t.Fatalf("leader %v, %d followers", old, len(e.Followers()))
	}
	c := Dial(t, 10*time.Second, strings.Split(e.Connect(), ",")...)
	create(t, c, "/kept", "", 0)

	begun = time.Now()
	must(t, old.Kill())
	next, err := e.AwaitLeader(20 * time.Second)
	must(t, err)
	t.Logf("new leader after %v", time.Since(begun))
	if next == old {
		t.Fatal("the dead one leads")
	}
	must(t, old.Wipe())
	must(t, old.Restart())
	if old.Mode() != "follower" {
		t.Fatalf("the old leader came back as %q", old.Mode())
	}
	if there, _, err := old.Client(t).Exists("/kept"); err != nil || !there {
		t.Fatalf("node on the wiped member: %v, %v", there, err)
	}
}

func TestDeletedAt(t *testing.T) {
	s := Shared(t)
	c := s.Client(t)
	create(t, c, "/probed", "", 0)
	gone := s.DeletedAt(t, "/probed")
	_, err := c.Set("/probed", []byte("spends the first watch"), -1)
	must(t, err)
	time.Sleep(50 * time.Millisecond)
	sent := Now()
	must(t, c.Delete("/probed", -1))
	seen := <-gone
	if d := time.Duration(seen.Boot - sent.Boot); d <= 0 || d > 2*time.Second {
		t.Fatalf("seen %v after the delete was sent", d)
	}
	if mono, boot := seen.Mono-sent.Mono, seen.Boot-sent.Boot; max(mono-boot, boot-mono) > int64(time.Second) {
		t.Fatalf("clocks disagree: %d, %d", mono, boot)
	}
}

func TestDumbServers(t *testing.T) {
	if conn, err := net.Dial("tcp", Closed(t)); err == nil {
		conn.Close()
		t.Error("Closed accepts")
	}
	conn, err := net.Dial("tcp", Silent(t))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(200*time.Millisecond)))
	_, _ = io.WriteString(conn, "ruok")
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Errorf("Silent answered %d bytes, %v", n, err)
	}
	resp, err := http.Get("http://" + Garbage(t, []byte("HTTP/1.1 204 No Content\r\n\r\n")))
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("Garbage: %s", resp.Status)
	}
}

func TestMissingJavaNamesTheCommand(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Launch(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Fatal(err)
	}
}

// What a server does at the end of a sequence: the tests of zkelect's answer to it
// rely on it.
func TestSequences(t *testing.T) {
	s := Start(t, Sequences())
	c := s.Client(t)
	create(t, c, "/queue", "", 0)
	next := func() string {
		t.Helper()
		name, err := c.Create("/queue/n-", nil, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
		must(t, err)
		must(t, c.Delete(name, -1))
		return strings.TrimPrefix(name, "/queue/n-")
	}
	must(t, s.SetSequence("/queue", 7))
	if a, b := next(), next(); a != "0000000007" || b != "0000000008" {
		t.Errorf("%s, %s after setting 7", a, b)
	}
	must(t, s.SetSequence("/queue", 1<<31-2))
	if a, b, c := next(), next(), next(); a != "2147483646" || b != "2147483647" || c != b {
		t.Errorf("%s, %s, %s at the end", a, b, c)
	}
	must(t, s.Restart())
	c = s.Client(t)
	if a := next(); a != "2147483647" {
		t.Errorf("%s after a restart", a)
	}
	must(t, c.Delete("/queue", -1))
	create(t, c, "/queue", "", 0)
	if a := next(); a != "0000000000" {
		t.Errorf("%s in a new node", a)
	}
}

func TestSequencesNeedTheirServer(t *testing.T) {
	if err := Shared(t).SetSequence("/", 7); err == nil || !strings.Contains(err.Error(), "Sequences") {
		t.Error(err)
	}
	// A java without javac, as default-jre-headless has it.
	java, err := findJava()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(java, filepath.Join(dir, "java")))
	t.Setenv("PATH", dir)
	if _, err := Launch(t.TempDir(), Sequences()); err == nil || !strings.Contains(err.Error(), "apt-get install") || !strings.Contains(err.Error(), "default-jdk-headless") {
		t.Error(err)
	}
}

// The Netty factory, which TLS needs, binds a reserved port as the default does.
func TestNettyFactory(t *testing.T) {
	s := Start(t, JavaFlags("-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"))
	create(t, s.Client(t), "/netty", "", 0)
	must(t, s.Restart())
}

func TestFreePortCanBeListenedOn(t *testing.T) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", FreePort(t)))
	must(t, err)
	l.Close()
}
