package main

import (
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"zkelect/zkelect/zktest"
)

// scriptCert makes certificates, in PEM. One of the same name replaces the old.
//
//	cert AUTHORITY                           an authority: AUTHORITY.pem
//	cert [-expired] NAME AUTHORITY [HOST...] signed by it, for those hosts: NAME.pem, NAME.key
func scriptCert(ts *testscript.TestScript, neg bool, args []string) {
	var until time.Time
	if len(args) > 0 && args[0] == "-expired" {
		until, args = time.Now().Add(-time.Minute), args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cert AUTHORITY | cert [-expired] NAME AUTHORITY [HOST...]")
	}
	w, name := worldOf(ts), ts.MkAbs(args[0])
	if len(args) == 1 {
		a, err := zktest.NewAuthority(args[0])
		ts.Check(err)
		if w.authorities == nil {
			w.authorities = map[string]*zktest.Authority{}
		}
		w.authorities[args[0]] = a
		ts.Check(os.WriteFile(name+".pem", a.Certificate, 0o644))
		return
	}
	pair, err := w.authority(ts, args[1]).Issue(args[0], until, args[2:]...)
	ts.Check(err)
	ts.Check(os.WriteFile(name+".pem", pair.Certificate, 0o644))
	ts.Check(os.WriteFile(name+".key", pair.Key, 0o600))
}

func (w *world) authority(ts *testscript.TestScript, name string) *zktest.Authority {
	a := w.authorities[name]
	if a == nil {
		ts.Fatalf("say cert %s first", name)
	}
	return a
}

// secureServer gives the script a server of its own as server start does, with a
// secure port besides, in $SECURE.
//
//	server tls NAME AUTHORITY [tls1.3]       with NAME's certificate, for clients that
//	                                         AUTHORITY signed
func (w *world) secureServer(ts *testscript.TestScript, args []string) {
	if len(args) < 2 || len(args) > 3 || len(args) == 3 && args[2] != "tls1.3" {
		ts.Fatalf("usage: server tls NAME AUTHORITY [tls1.3]")
	}
	pair := zktest.Pair{Certificate: []byte(ts.ReadFile(args[0] + ".pem")), Key: []byte(ts.ReadFile(args[0] + ".key"))}
	opts := []zktest.Option{zktest.TLS(pair, w.authority(ts, args[1]).Certificate)}
	if len(args) == 3 { // 3.8 speaks 1.2 alone unless it is told to, ciphers and all
		opts = append(opts, zktest.ExtraConfig(map[string]string{
			"ssl.protocol": "TLSv1.3", "ssl.enabledProtocols": "TLSv1.3", "ssl.ciphersuites": "TLS_AES_128_GCM_SHA256",
		}))
	}
	if w.client != nil {
		w.client.Close()
	}
	w.server, w.chroot, w.client = zktest.Start(w.tb, opts...), "/", nil
	ts.Setenv("ZKELECT_SERVERS", w.server.Connect())
	ts.Setenv("SECURE", w.server.SecureAddr())
}

// tls runs a block of README.md with a server of its own, whose secure port it
// names, and the files of a client beside it.
func (s *stage) tls() {
	ca, err := zktest.NewAuthority("ca")
	if err != nil {
		s.Fatal(err)
	}
	server, err := ca.Issue("zk", time.Time{}, "127.0.0.1")
	if err != nil {
		s.Fatal(err)
	}
	client, err := ca.Issue("web1", time.Time{})
	if err != nil {
		s.Fatal(err)
	}
	s.file("ca.pem", string(ca.Certificate))
	s.file("web1.pem", string(client.Certificate))
	if err := os.Chmod(s.file("web1.key", string(client.Key)), 0o600); err != nil {
		s.Fatal(err)
	}
	const secure = "zk1:2281,zk2:2281,zk3:2281"
	if !strings.Contains(s.block.text, secure) {
		s.Fatalf("it does not name %s", secure)
	}
	srv := zktest.Start(s, zktest.TLS(server, ca.Certificate))
	script := s.start("sh", "-e", s.file("script", strings.ReplaceAll(s.block.text, secure, srv.SecureAddr())))
	s.ends(script, 0)
	out := s.output(script)
	if strings.Contains(out, "zkelect: ") || strings.Contains(out, "level=WARN") || !strings.Contains(out, "cause=exited") {
		s.Error(out)
	}
}
