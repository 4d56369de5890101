package cmdline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What flags and variables mean together, and what a child is told.
func TestTLSFlags(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	ca := "ZKELECT_TLS_CA=" + filepath.Join(dir, "ca.pem")
	for _, c := range []struct {
		name string
		args string
		env  string
		want []string // the child's variables
		err  string
	}{
		{name: "nothing"},
		{name: "empty variables", env: "ZKELECT_TLS= ZKELECT_TLS_CA= ZKELECT_TLS_KEY="},
		{name: "on", args: "--tls", want: []string{"ZKELECT_TLS=yes"}},
		{name: "on by a word", env: "ZKELECT_TLS=on", want: []string{"ZKELECT_TLS=yes"}},
		{name: "neither", env: "ZKELECT_TLS=perhaps", err: "ZKELECT_TLS"},
		{name: "off", args: "--tls=no", want: []string{"ZKELECT_TLS=no"}},
		{name: "implied", args: "--tls-ca ca.pem", want: []string{ca, "ZKELECT_TLS=yes"}},
		{name: "implied by a variable", env: "ZKELECT_TLS_SERVER_NAME=zk", want: []string{"ZKELECT_TLS_SERVER_NAME=zk", "ZKELECT_TLS=yes"}},
		{name: "off for all", env: "ZKELECT_TLS=off ZKELECT_TLS_CA=ca.pem", want: []string{"ZKELECT_TLS=no"}},
		{name: "off this time", args: "--tls=0", env: "ZKELECT_TLS_CA=ca.pem", want: []string{"ZKELECT_TLS=no"}},
		{name: "on this time", args: "--tls", env: "ZKELECT_TLS=no ZKELECT_TLS_CA=ca.pem", want: []string{ca, "ZKELECT_TLS=yes"}},
		{name: "the flag before the variable", args: "--tls-ca ca.pem", env: "ZKELECT_TLS_CA=other", want: []string{ca, "ZKELECT_TLS=yes"}},
		{name: "off and on", args: "--tls=no --tls-ca ca.pem", err: "--tls=no"},
		{name: "off by a variable and on", args: "--tls-ca ca.pem", env: "ZKELECT_TLS=no", err: "ZKELECT_TLS=no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			for _, v := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(v, "=")
				env[name] = value
			}
			f := NewTLS()
			_, err := Parse(f.Flags(), strings.Fields(c.args), false, func(name string) string { return env[name] })
			if err == nil {
				err = f.Settle()
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Environment(); !slices.Equal(got, c.want) || f.On != slices.Contains(c.want, "ZKELECT_TLS=yes") {
				t.Errorf("on: %v, %q", f.On, got)
			}
		})
	}
}
