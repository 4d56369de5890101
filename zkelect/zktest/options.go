package zktest

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Option changes how a server is started.
type Option func(*config)

// config is what zoo.cfg and the command line of a server are made from.
type config struct {
	tick      time.Duration
	initTicks int
	syncTicks int
	host      string // where clients are served; never a name, so that it needs no resolver
	fsync     bool
	extra     map[string]string
	javaFlags []string
	sequences bool                  // its counters can be set
	secure    *secure               // nil: no secure port
	hosts     []Host                // of an ensemble; none: all on the loopback
	start     func(*exec.Cmd) error // on the server's own host; nil: here
}

func newConfig(opts []Option) config {
	c := config{
		// A server grants sessions from two ticks upwards: a short tick is
		// what lets a test live through an expiry in seconds.
		tick:      500 * time.Millisecond,
		initTicks: 40,
		syncTicks: 10,
		host:      "127.0.0.1",
		extra:     map[string]string{},
	}
	for _, o := range opts {
		o(&c)
	}
	return c
}

// TickTime sets the server's tick (500 ms by default). Sessions are granted
// between two ticks and 60 s, or 20 ticks where that is more.
func TickTime(d time.Duration) Option { return func(c *config) { c.tick = d } }

// InitLimit sets how many ticks a follower may take to join (40 by default).
func InitLimit(ticks int) Option { return func(c *config) { c.initTicks = ticks } }

// SyncLimit sets after how many silent ticks leader and follower give each
// other up (10 by default).
func SyncLimit(ticks int) Option { return func(c *config) { c.syncTicks = ticks } }

// ExtraConfig adds lines to zoo.cfg, or replaces those written by default.
func ExtraConfig(lines map[string]string) Option {
	return func(c *config) { maps.Copy(c.extra, lines) }
}

// JavaFlags adds flags to the Java command line; later ones win.
func JavaFlags(flags ...string) Option {
	return func(c *config) { c.javaFlags = append(c.javaFlags, flags...) }
}

// IPv6 serves clients on ::1. The servers of an ensemble still talk to one
// another on 127.0.0.1.
func IPv6() Option { return func(c *config) { c.host = "::1" } }

// Fsync makes the server sync its log to disk before it answers, as in
// production. Off by default: what a killed process has written is safe in the
// page cache, and tests kill processes, not kernels.
func Fsync() Option { return func(c *config) { c.fsync = true } }

// zooCfg returns the text of zoo.cfg. Members is empty for a server that stands
// alone, else the "server.N" lines that all members share; secure is empty for
// one without TLS.
func (c config) zooCfg(dataDir string, clientPort int, members, secure map[string]string) string {
	tickMillis := c.tick.Milliseconds()
	lines := map[string]string{
		"tickTime":               strconv.FormatInt(tickMillis, 10),
		"initLimit":              strconv.Itoa(c.initTicks),
		"syncLimit":              strconv.Itoa(c.syncTicks),
		"maxSessionTimeout":      strconv.FormatInt(max(60000, 20*tickMillis), 10),
		"dataDir":                dataDir,
		"clientPort":             strconv.Itoa(clientPort),
		"clientPortAddress":      c.host,
		"maxClientCnxns":         "0",
		"admin.enableServer":     "false",
		"4lw.commands.whitelist": "*",
	}
	maps.Copy(lines, members)
	maps.Copy(lines, secure)
	maps.Copy(lines, c.extra)

	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s=%s\n", k, lines[k])
	}
	return b.String()
}

// javaArgs returns the arguments of java that run one server: of ZooKeeper's, or of
// ours from the folder of its classes.
func (c config) javaArgs(cfgFile, classes string) []string {
	main, path := mainClass, jars
	if classes != "" {
		main, path = sequenceClass, append([]string{classes}, jars...)
	}
	args := []string{
		// A small heap, one collector thread and the first compiler alone: what
		// counts is the time to the first answer and room for several at once.
		"-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Dzookeeper.forceSync=" + map[bool]string{true: "yes", false: "no"}[c.fsync],
		"-Dzookeeper.preAllocSize=1024",         // KB; 64 MB a server by default
		"-Dzookeeper.extendedTypesEnabled=true", // containers and TTL nodes
		// An empty container stays as long as a test looks at it.
		"-Dznode.container.checkIntervalMs=3600000",
		"-Dzookeeper.DigestAuthenticationProvider.superDigest=" + superDigest(),
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		// Each probe and each client that leaves is a line or a stack trace here.
		"-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=error",
	}
	args = append(args, c.javaFlags...)
	return append(args, "-cp", strings.Join(path, ":"), main, cfgFile)
}

// superUser may do anything on every server of ours, so that what a test has
// made under an ACL of its own can be removed after it.
const superUser = "super:zktest"

func superDigest() string {
	sum := sha1.Sum([]byte(superUser))
	return "super:" + base64.StdEncoding.EncodeToString(sum[:])
}

// clientAddr returns the address that clients are given, brackets and all.
func (c config) clientAddr(port int) string {
	return net.JoinHostPort(c.host, strconv.Itoa(port))
}
