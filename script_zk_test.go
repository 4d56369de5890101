package main

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/rogpeppe/go-internal/testscript"

	"zkelect/zkelect/zktest"
)

// scriptZK speaks to the script's server, as one who may do everything, by no proxy. A path is
// within the chroot; id:ID is the queue node of ID in $ZKELECT_PATH, side: is
// the side node of $ZKELECT_PATH, and either may have a path behind it.
//
//	zk create [-e] [-s] PATH [DATA|@FILE]    zk set PATH DATA|@FILE    zk delete PATH
//	zk get PATH    zk ls PATH    zk acl PATH               answer on stdout
//	zk tree PATH                                           all that is there, with versions: of nodes, of children, of ACLs
//	zk setacl PATH SCHEME:ID:PERMS...                      PERMS of rwcda, or - for none
//	zk gone PATH                                           wait until it is
//	zk some PATH                                           wait until it has children
func scriptZK(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if len(args) < 2 {
		ts.Fatalf("usage: zk COMMAND PATH...")
	}
	command, args := args[0], args[1:]
	var flags int32
	for len(args) > 1 && len(args[0]) == 2 && args[0][0] == '-' {
		flags |= map[string]int32{"-e": zk.FlagEphemeral, "-s": zk.FlagSequence}[args[0]]
		args = args[1:]
	}
	c := w.zk(ts)
	ts.Stdout() // nothing of an earlier command's, whatever is written
	node := w.node(ts, args[0])
	data := []byte(strings.Join(args[1:], " "))
	if file, ok := strings.CutPrefix(string(data), "@"); ok {
		data = []byte(ts.ReadFile(file))
	}
	var err error
	var lines []string
	switch command {
	case "create":
		err = createAll(c, node, data, flags)
	case "set":
		_, err = c.Set(node, data, -1)
	case "delete":
		err = c.Delete(node, -1)
	case "get":
		data, _, err = c.Get(node)
		lines = []string{string(data)}
	case "ls":
		lines, _, err = c.Children(node)
		slices.Sort(lines)
	case "tree":
		lines, err = tree(c, node)
	case "acl":
		var acl []zk.ACL
		acl, _, err = c.GetACL(node)
		for _, a := range acl {
			lines = append(lines, fmt.Sprintf("%s:%s:%s", a.Scheme, a.ID, permsText(a.Perms)))
		}
	case "setacl":
		_, err = c.SetACL(node, parseACL(ts, args[1:]), -1)
	case "some":
		for deadline := time.Now().Add(bound); err == nil && len(lines) == 0; time.Sleep(10 * time.Millisecond) {
			if lines, _, err = c.Children(node); time.Now().After(deadline) {
				ts.Fatalf("nothing in %s after %v", args[0], bound)
			}
		}
	case "gone":
		for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
			var there bool
			there, _, err = c.Exists(node)
			if err != nil || !there {
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("%s is still there after %v", args[0], bound)
			}
		}
	default:
		ts.Fatalf("unknown command zk %s", command)
	}
	for _, line := range lines {
		fmt.Fprintln(ts.Stdout(), line)
	}
	switch {
	case err == nil && neg:
		ts.Fatalf("unexpected success")
	case err != nil && !neg:
		ts.Fatalf("zk %s %s: %v", command, node, err)
	}
}

// zk is the script's client, made when it is first needed.
func (w *world) zk(ts *testscript.TestScript) *zk.Conn {
	if w.client == nil {
		c, events, err := zk.Connect([]string{w.server.Addr()}, 10*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
		ts.Check(err)
		w.client = c
		for timeout := time.After(bound); ; {
			select {
			case e := <-events:
				if e.State == zk.StateHasSession {
					// So that no ACL is in a script's way.
					ts.Check(c.AddAuth("digest", []byte("super:zktest")))
					return c
				}
			case <-timeout:
				ts.Fatalf("no session with %s", w.server.Addr())
			}
		}
	}
	return w.client
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (w *world) node(ts *testscript.TestScript, name string) string {
	election := ts.Getenv("ZKELECT_PATH")
	if id, ok := strings.CutPrefix(name, "id:"); ok {
		id, below, _ := strings.Cut(id, "/")
		dir := path.Join(w.chroot, election)
		children, _, err := w.zk(ts).Children(dir)
		ts.Check(err)
		for _, child := range children {
			if data, _, err := w.zk(ts).Get(path.Join(dir, child)); err == nil && string(data) == id {
				return path.Join(dir, child, below)
			}
		}
		ts.Fatalf("no participant %s in %s", id, dir)
	}
	if below, ok := strings.CutPrefix(name, "side:"); ok {
		dir, last := path.Split(election)
		return path.Join(w.chroot, dir, ".zkelect-"+last, below)
	}
	return path.Join(w.chroot, name)
}

// createAll makes a node with its parents.
func createAll(c *zk.Conn, node string, data []byte, flags int32) error {
	_, err := c.Create(node, data, flags, zk.WorldACL(zk.PermAll))
	if errors.Is(err, zk.ErrNoNode) && node != "/" {
		if err := createAll(c, path.Dir(node), nil, 0); err != nil {
			return err
		}
		_, err = c.Create(node, data, flags, zk.WorldACL(zk.PermAll))
	}
	return err
}

// tree is a node, and all below it, as a line each. ZooKeeper's own are left out.
func tree(c *zk.Conn, node string) ([]string, error) {
	data, stat, err := c.Get(node)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("%s %d %d %d %s", node, stat.Version, stat.Cversion, stat.Aversion, data)}
	children, _, err := c.Children(node)
	slices.Sort(children)
	for _, child := range children {
		var below []string
		if at := path.Join(node, child); err == nil && at != "/zookeeper" {
			below, err = tree(c, at)
			lines = append(lines, below...)
		}
	}
	return lines, err
}

// perms are the letters of ZooKeeper's own command line.
const perms = "rwcda"

func permsText(p int32) string {
	s := ""
	for i := range perms {
		if p&(1<<i) != 0 {
			s += perms[i : i+1]
		}
	}
	return cmp.Or(s, "-")
}

func parseACL(ts *testscript.TestScript, entries []string) (acl []zk.ACL) {
	for _, entry := range entries {
		last := strings.LastIndexByte(entry, ':')
		scheme, id, ok := strings.Cut(entry[:max(last, 0)], ":")
		if !ok {
			ts.Fatalf("%q is not SCHEME:ID:PERMS", entry)
		}
		a := zk.ACL{Scheme: scheme, ID: id}
		for _, letter := range strings.Trim(entry[last+1:], "-") {
			i := strings.IndexRune(perms, letter)
			if i < 0 {
				ts.Fatalf("%q has no permission %c", perms, letter)
			}
			a.Perms |= 1 << i
		}
		if scheme == "digest" { // as USER:PASSWORD
			user, password, _ := strings.Cut(id, ":")
			a.ID = zk.DigestACL(0, user, password)[0].ID
		}
		acl = append(acl, a)
	}
	return acl
}

// scriptServer gives the script a server of its own, in $ZKELECT_SERVERS, and
// hurts it.
func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && (len(args) == 0 || args[0] != "tls") {
		ts.Fatalf("usage: server start|sequences|tls ...|stop|cont|kill|restart")
	}
	w := worldOf(ts)
	if args[0] == "tls" {
		w.secureServer(ts, args[1:])
		return
	}
	if args[0] == "start" || args[0] == "sequences" {
		var opts []zktest.Option
		if args[0] == "sequences" {
			opts = append(opts, zktest.Sequences())
		}
		w.server, w.chroot = zktest.Start(w.tb, opts...), "/"
		ts.Setenv("ZKELECT_SERVERS", w.server.Connect())
		return
	}
	if w.chroot != "/" {
		ts.Fatalf("the server is not this script's own; say server start first")
	}
	do := map[string]func() error{
		"stop": w.server.Stop, "cont": w.server.Cont, "kill": w.server.Kill, "restart": w.server.Restart,
	}[args[0]]
	if do == nil {
		ts.Fatalf("unknown command server %s", args[0])
	}
	ts.Check(do())
}

// scriptSequence moves a sequence counter on, which a server can do that was started
// by server sequences.
func scriptSequence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sequence PATH N")
	}
	n, err := strconv.ParseInt(args[1], 10, 32)
	ts.Check(err)
	w := worldOf(ts)
	ts.Check(w.server.SetSequence(w.node(ts, args[0]), int32(n)))
}

// scriptProxy stands a proxy before the server, whose connect string is $PROXY,
// and hurts it.
//
//	proxy start|tls|cut|heal|reset|refuse|accept
//
// tls is start before the secure port.
func scriptProxy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: proxy start|tls|cut|heal|reset|refuse|accept")
	}
	w := worldOf(ts)
	if args[0] == "start" || args[0] == "tls" {
		addr := w.server.Addr()
		if args[0] == "tls" {
			addr = w.server.SecureAddr()
		}
		var err error
		w.proxy, err = zktest.OpenProxy(addr)
		ts.Check(err)
		ts.Setenv("PROXY", w.proxy.Addr()+strings.TrimSuffix(w.chroot, "/"))
		return
	}
	if w.proxy == nil {
		ts.Fatalf("say proxy start first")
	}
	switch args[0] {
	case "cut":
		w.proxy.Cut()
	case "heal":
		w.proxy.Heal()
	case "reset":
		w.proxy.Reset()
	case "refuse", "accept":
		ts.Check(w.proxy.Refuse(args[0] == "refuse"))
	default:
		ts.Fatalf("unknown command proxy %s", args[0])
	}
}

// scriptDumb gives an address where something else is than ZooKeeper.
func scriptDumb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dumb garbage|silent|closed")
	}
	tb := worldOf(ts).tb
	switch args[0] {
	case "garbage":
		ts.Setenv("DUMB", zktest.Garbage(tb, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")))
	case "silent":
		ts.Setenv("DUMB", zktest.Silent(tb))
	case "closed":
		ts.Setenv("DUMB", zktest.Closed(tb))
	default:
		ts.Fatalf("unknown command dumb %s", args[0])
	}
}
