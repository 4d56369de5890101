package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// A contender is one way to run a command on one host of several.
type contender struct {
	name    string // as the tables show it
	label   string // as paths and files have it
	session time.Duration
	server  kind
	waiting int    // how many wait behind its leader; 0: one
	at      *place // its server, where that is not the one that all share
	// argv is the command line that runs cmd, in the election of that path.
	argv func(b *bench, c *contender, addr, path string, cmd []string) []string
}

// place is a ZooKeeper, and a session of our own with it.
type place struct {
	addr string // all of its servers
	conn *zk.Conn
}

// kind is what a contender asks.
type kind int

const (
	zooKeeper kind = iota
	etcd
	noServer
)

// The labels that the tables ask for by themselves.
const (
	floorLabel   = "floor"
	zkelectLabel = "zkelect"
)

func contenders() []*contender {
	return []*contender{
		{name: "floor", label: floorLabel, session: session, argv: goProgram("floor")},
		{name: "**zkelect**", label: zkelectLabel, session: session, argv: zkelectRun},
		{name: "go-zookeeper Lock", label: "golock", session: session, argv: goProgram("golock")},
		{name: "kazoo Lock", label: "kazoo", session: session, argv: kazoo},
		{name: "Curator LeaderLatch", label: "latch", session: session, argv: curator("latch")},
		{name: "Curator LeaderSelector", label: "selector", session: session, argv: curator("selector")},
		{name: "`etcdctl lock`", label: "etcd", session: session, server: etcd, argv: etcdLock},
		{name: "`flock`", label: "flock", server: noServer, argv: flock},
	}
}

func (c *contender) sessionMillis() string { return strconv.FormatInt(c.session.Milliseconds(), 10) }

func goProgram(name string) func(*bench, *contender, string, string, []string) []string {
	return func(b *bench, c *contender, addr, path string, cmd []string) []string {
		return append([]string{b.built(name), addr, path, c.sessionMillis()}, cmd...)
	}
}

// zkelectRun is zkelect with its defaults, but for the session that all have.
func zkelectRun(b *bench, c *contender, addr, path string, cmd []string) []string {
	return append([]string{b.zkelect, "run", "--quiet", "--servers", addr, "--path", path,
		"--session-timeout", c.session.String(), "--"}, cmd...)
}

func kazoo(b *bench, c *contender, addr, path string, cmd []string) []string {
	return append([]string{"/usr/bin/python3", filepath.Join(sources, "lock.py"), addr, path, c.sessionMillis()}, cmd...)
}

// jars are Curator and a log; the manifest of the first names the rest.
const jars = "/usr/share/java/curator-recipes.jar:/usr/share/java/slf4j-simple.jar"

// A small heap, one collector thread and the first compiler alone: what starts
// soonest and holds least.
func curator(recipe string) func(*bench, *contender, string, string, []string) []string {
	return func(b *bench, c *contender, addr, path string, cmd []string) []string {
		return append([]string{"java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto",
			"-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", b.dir + ":" + jars,
			"Run", recipe, addr, path, c.sessionMillis()}, cmd...)
	}
}

func etcdLock(b *bench, c *contender, addr, path string, cmd []string) []string {
	ttl := strconv.Itoa(int(c.session.Seconds()))
	return append([]string{"etcdctl", "--endpoints", addr, "lock", "--ttl", ttl, path}, cmd...)
}

func flock(b *bench, c *contender, addr, path string, cmd []string) []string {
	return append([]string{"flock", b.lockFile(path)}, cmd...)
}

func (b *bench) lockFile(path string) string {
	return filepath.Join(b.dir, "lock"+strings.ReplaceAll(path, "/", "-"))
}

// environment is what contenders get: this one without settings for zkelect.
func environment() []string {
	env := []string{"ETCDCTL_API=3"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ZKELECT_") && !strings.HasPrefix(v, "ETCD") {
			env = append(env, v)
		}
	}
	return env
}
