package zkelect

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// digest has a server take credentials of that scheme, or not.
func digest(taken bool) zktest.Option {
	return zktest.ExtraConfig(map[string]string{"DigestAuthenticationProvider.enabled": strconv.FormatBool(taken)})
}

func secretive(cfg CandidateConfig) CandidateConfig {
	cfg.Auth, cfg.ACL = &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}, ACLPrivate
	return cfg
}

// Servers that know nothing of the scheme refuse it, at once and in words; where they
// took the credentials before, they are tried on for a session's timeout, since one of
// several may be set up wrongly.
func TestServersThatRefuseCredentials(t *testing.T) {
	t.Parallel()
	server := zktest.Start(t)
	e := newElection(t, server)
	said := func(p *participant) {
		t.Helper()
		_, err := p.awaitEnd()
		if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), server.Addr()) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", p.id, err)
		}
	}
	leads := secretive(e.config("a"))
	leads.Requeue = RequeueLost
	a := contend(t, leads)
	a.awaitWork(0)
	b := contend(t, secretive(e.config("b")))
	b.awaitEvent(EventWaiting)

	noError(t, server.Kill())
	server.Change(digest(false))
	noError(t, server.Restart())
	t.Cleanup(func() { // before what the test has made is removed
		server.Change(digest(true))
		noError(t, server.Restart())
	})
	for _, p := range []*participant{a, b} {
		said(p)
		// Whoever has needed a new session, of a server slow to start, is refused at once.
		if len(p.events(EventLost, EventExpired)) == 0 {
			p.awaitEvent(EventAuthFault)
		}
	}
	checkExclusion(t, a, b)
	c := contend(t, secretive(e.config("c")))
	said(c)
	if len(b.all())+len(c.all()) > 0 {
		t.Error("a work ran")
	}
}

// A connection that replaces another carries the credentials before anything else, and a
// session that replaces another too.
func TestCredentialsOnEachConnection(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	noError(t, e.eye.AddAuth("digest", []byte("super:zktest")))
	member := func(id string) (*participant, *zktest.Proxy) {
		px := zktest.NewProxy(t, e.server.Addr())
		cfg := secretive(e.config(id, px.Addr()))
		cfg.SessionTimeout, cfg.Requeue = 6*time.Second, RequeueLost
		cfg.TickTime = 500 * time.Millisecond // else it is asked for, on a connection of its own
		return contend(t, cfg), px
	}
	a, pa := member("a")
	first := a.awaitWork(0)
	b, pb := member("b")
	b.awaitEvent(EventWaiting)
	for p, px := range map[*participant]*zktest.Proxy{a: pa, b: pb} {
		px.Forget()
		px.Reset()
		p.awaitEvent(EventReconnected)
		var ops []int32
		at := -1
		awaitTrue(t, p.id+" has asked for something again, its watches if it had any", func() bool {
			ops = nil
			for _, r := range px.Requests(func(op zktest.Op) bool { return op.Type != zktest.Ping }) {
				ops = append(ops, r.Type)
			}
			at = slices.Index(ops, zktest.Connect)
			return at >= 0 && len(ops) > at+2
		})
		if ops[at+1] != zktest.Auth {
			t.Errorf("%s sent %v", p.id, ops)
		}
	}
	if !first.alive() || len(a.all()) != 1 {
		t.Error("the work did not live through it")
	}

	// The leader's session ends; in the next one it is what it was.
	pa.Cut()
	b.awaitWork(0)
	pa.Heal()
	awaitTrue(t, "the first queues again", func() bool { return len(e.participants()) == 2 })
	for _, p := range e.participants() {
		acl, _, err := e.eye.GetACL(e.abs(e.node(p.name)))
		noError(t, err)
		if len(acl) != 1 || acl[0].Scheme != "digest" || !strings.HasPrefix(acl[0].ID, "alice:") || acl[0].Perms != zk.PermAll {
			t.Errorf("%s: %v", p.data, acl)
		}
	}
	checkExclusion(t, a, b)
}
