package zkelect

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// defaultPort is ZooKeeper's client port.
const defaultPort = "2181"

// maxPathLen bounds a path in bytes. ZooKeeper's own bound is the packet
// (1 MB), which no path reaches on purpose.
const maxPathLen = 4096

// ConnectString is a parsed connect string.
type ConnectString struct {
	Servers []string // host:port, IPv6 in brackets
	Chroot  string   // "" or /a/b
}

// ParseConnectString parses ZooKeeper's own form,
// host[:port][,host[:port]...][/chroot]. Spaces around servers, empty entries
// and repeated servers are dropped. Errors wrap ErrConfig.
func ParseConnectString(s string) (ConnectString, error) {
	var c ConnectString
	if i := strings.Index(s, "://"); i >= 0 {
		return c, badServers(s, "has a scheme; leave out %q", strings.TrimSpace(s[:i+3]))
	}
	hosts, chroot, slash := strings.Cut(strings.TrimSpace(s), "/")
	// Java's own client takes "host:2181/" for no chroot.
	if slash && chroot != "" {
		c.Chroot = "/" + chroot
		// A comma is legal in a node's name, but here it is a second server
		// behind a chroot that was given too early: its elections would
		// stand elsewhere, unseen by the others.
		if strings.Contains(chroot, ",") {
			return ConnectString{}, badServers(s, "has a server after the chroot; give the chroot once, at the end")
		}
		if why := pathFault(c.Chroot); why != "" {
			return ConnectString{}, badServers(s, "has the chroot %q, which %s", c.Chroot, why)
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			continue
		}
		server, why := parseServer(host)
		if why != "" {
			return ConnectString{}, badServers(s, "has the server %q, which %s", host, why)
		}
		if !slices.ContainsFunc(c.Servers, func(old string) bool { return strings.EqualFold(old, server) }) {
			c.Servers = append(c.Servers, server)
		}
	}
	if len(c.Servers) == 0 {
		return ConnectString{}, badServers(s, "names no server; give host:port,host:port/chroot")
	}
	return c, nil
}

func badServers(s, format string, args ...any) error {
	return fmt.Errorf("%w: connect string %q %s", ErrConfig, s, fmt.Sprintf(format, args...))
}

// parseServer gives host:port, or what is wrong with it.
func parseServer(s string) (server, why string) {
	if strings.HasPrefix(s, "[") {
		return parseBracketed(s)
	}
	if strings.Count(s, ":") > 1 {
		return "", "looks like IPv6; put the address in brackets, as in [::1]:" + defaultPort
	}
	host, port, given := strings.Cut(s, ":")
	if why := hostFault(host); why != "" {
		return "", why
	}
	if !given {
		port = defaultPort
	}
	return joinPort(host, port)
}

func parseBracketed(s string) (server, why string) {
	host, rest, closed := strings.Cut(s[1:], "]")
	if !closed {
		return "", "has no closing bracket"
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
		return "", "has no IPv6 address in its brackets"
	}
	port := defaultPort
	if rest != "" {
		var colon bool
		if port, colon = strings.CutPrefix(rest, ":"); !colon {
			return "", "has something other than :port after its brackets"
		}
	}
	return joinPort(host, port)
}

func joinPort(host, port string) (server, why string) {
	// ParseUint takes digits alone; the string is made anew, so that 02181
	// and 2181 are one server.
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Sprintf("has the port %q; give 1 to 65535", port)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), ""
}

func hostFault(host string) string {
	if host == "" {
		return "has no host name"
	}
	if len(host) > 253 {
		return "has a host name longer than 253 characters"
	}
	for _, r := range host {
		switch {
		case r == ' ' || r == '\t' || r == ';':
			return "has more than a host name; separate servers by commas"
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(".-_", r):
		default:
			return fmt.Sprintf("has %q in its host name", r)
		}
	}
	return ""
}

// ValidatePath tells whether p can be a latch path: what ZooKeeper's own check
// accepts, less the root, its reserved nodes and zkelect's side nodes. Errors
// wrap ErrConfig.
func ValidatePath(p string) error {
	why := pathFault(p)
	if p == "/" {
		why = "is the root; name a node below it, such as /jobs/billing"
	}
	if why != "" {
		return fmt.Errorf("%w: path %q %s", ErrConfig, p, why)
	}
	return nil
}

// pathFault is what is wrong with a path or chroot, or nothing. The
// characters are those of org.apache.zookeeper.common.PathUtils, which counts
// in UTF-16: what needs a surrogate pair is refused there, though not by
// go-zookeeper.
func pathFault(p string) string {
	switch {
	case p == "":
		return "is empty; give one such as /jobs/billing"
	case p[0] != '/':
		return "does not begin with /"
	case len(p) > maxPathLen:
		return fmt.Sprintf("has %d bytes; give at most %d", len(p), maxPathLen)
	case !utf8.ValidString(p):
		return "is not UTF-8"
	case p == "/zookeeper" || strings.HasPrefix(p, "/zookeeper/"):
		return "is reserved by ZooKeeper"
	case len(p) > 1 && strings.HasSuffix(p, "/"):
		return "ends with /; leave that out"
	}
	for _, r := range p {
		if r < ' ' || 0x7f <= r && r <= 0x9f || 0xd800 <= r && r <= 0xf8ff || r >= 0xfff0 {
			return fmt.Sprintf("has the character %+q, which ZooKeeper refuses", r)
		}
	}
	if p == "/" {
		return ""
	}
	for element := range strings.SplitSeq(p[1:], "/") {
		switch {
		case element == "":
			return "has an empty element (//)"
		case element == "." || element == "..":
			return fmt.Sprintf("has the element %q, which ZooKeeper refuses", element)
		case strings.HasPrefix(element, sidePrefix):
			// An election there would lie in what zkelect keeps of another.
			return fmt.Sprintf("has the element %q; names that begin with %s are zkelect's own", element, sidePrefix)
		}
	}
	return ""
}
