package zkelect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// secured is the option of servers with a secure port on the loopback, and how a
// client speaks to them.
func secured(t testing.TB) (zktest.Option, *TLS) {
	t.Helper()
	ca, err := zktest.NewAuthority("ca")
	noError(t, err)
	server, err := ca.Issue("zk", time.Time{}, "127.0.0.1", "::1")
	noError(t, err)
	client, err := ca.Issue("client", time.Time{})
	noError(t, err)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		noError(t, os.WriteFile(name, content, 0o600))
		return name
	}
	return zktest.TLS(server, ca.Certificate), &TLS{
		CA: file("ca.pem", ca.Certificate), Cert: file("client.pem", client.Certificate), Key: file("client.key", client.Key),
	}
}

// The leader of the ensemble dies, and with it every connection: the sessions go
// on over TLS with another server, and so do leader and waiter.
func TestEnsembleByTLS(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]zktest.Option{"IPv4": nil, "IPv6": {zktest.IPv6()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with, tls := secured(t)
			ens := zktest.StartEnsemble(t, 3, append(more, with)...)
			e := newElection(t, ens.Servers[0])
			participant := func(id string) *participant {
				cfg := e.steady(id, ens.SecureConnect())
				cfg.TLS = tls
				return contend(t, cfg)
			}
			a := participant("a")
			work := a.awaitWork(0)
			b := participant("b")
			b.awaitEvent(EventWaiting)
			old := ens.Leader()
			noError(t, old.Kill())
			a.awaitEvent(EventReconnected)
			b.awaitEvent(EventReconnected)
			noError(t, old.Restart())
			if !work.alive() {
				t.Error("the work has ended")
			}
			a.leave()
			b.awaitWork(0)
			checkExclusion(t, a, b)
		})
	}
}

// A survivor has the way to the servers, and the files whatever its folder is;
// what is in them it reads for itself.
func TestSurvivorByTLS(t *testing.T) {
	t.Parallel()
	with, tls := secured(t)
	srv := zktest.Start(t, with)
	e := newElection(t, srv)
	steady := func(id string) CandidateConfig {
		cfg := e.steady(id, srv.SecureAddr())
		cfg.TLS = tls
		return cfg
	}
	a := e.opened(steady("a"))
	if shown, err := json.Marshal(a.will); err != nil || strings.Contains(string(shown), "BEGIN") || !strings.Contains(string(shown), tls.Key) {
		t.Errorf("%s, %v", shown, err)
	}
	b := a.heir(steady("b"))
	since := time.Now()
	a.die()
	a.survived()
	a.leads(b, since)

	// In the clear nobody gets anywhere.
	cfg := steady("c").Config
	cfg.TLS, cfg.ConnectTimeout = nil, time.Second
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--tls") {
		t.Error(err)
	}
}

// The files are found from another folder, and a configuration may be used by
// several candidates.
func TestTLSFilesAreAbsolute(t *testing.T) {
	t.Parallel()
	_, tls := secured(t)
	dir, err := os.Getwd()
	noError(t, err)
	relative, err := filepath.Rel(dir, tls.Key)
	noError(t, err)
	cfg := Config{TLS: &TLS{Cert: tls.Cert, Key: relative, ServerName: "zk"}}
	noError(t, cfg.Validate())
	if cfg.TLS.Key != relative {
		t.Error("Validate changes what it is given")
	}
	cfg.setDefaults()
	if got := cfg.TLS; got.Key != tls.Key || got.CA != "" || got.Cert != tls.Cert || got.ServerName != "zk" {
		t.Errorf("%s %s %s %s", got.CA, got.Cert, got.Key, got.ServerName)
	}
}
