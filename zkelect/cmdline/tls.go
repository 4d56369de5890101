package cmdline

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// TLS are the flags --tls and --tls-..., with the variables ZKELECT_TLS and
// ZKELECT_TLS_.... Files are made absolute by Settle.
type TLS struct {
	// On is what counts after Settle.
	On                        bool
	CA, Cert, Key, ServerName string

	on     *Flag
	others []*Flag
	values []*string // of the others
}

// NewTLS makes the flags, all of them ungiven.
func NewTLS() *TLS {
	t := &TLS{}
	t.on = &Flag{Name: "tls", Env: "ZKELECT_TLS", Preset: "no, or yes with one of the following", Set: Bool(&t.On),
		Usage: "speak TLS, to the servers' secure client port"}
	t.others = []*Flag{
		{Name: "tls-ca", Env: "ZKELECT_TLS_CA", Arg: "FILE", Preset: "the system's", Set: Text(&t.CA),
			Usage: "the certificates, in PEM, of the authorities that may have signed the servers'"},
		{Name: "tls-cert", Env: "ZKELECT_TLS_CERT", Arg: "FILE", Set: Text(&t.Cert),
			Usage: "the certificate to show to the servers, in PEM; read again for each connection, as the others"},
		{Name: "tls-key", Env: "ZKELECT_TLS_KEY", Arg: "FILE", Preset: "the file of --tls-cert", Set: Text(&t.Key),
			Usage: "its private key, in PEM without a passphrase"},
		{Name: "tls-server-name", Env: "ZKELECT_TLS_SERVER_NAME", Arg: "NAME", Preset: "each server's host in --servers", Set: Text(&t.ServerName),
			Usage: "the name that the servers' certificates must be for"},
	}
	t.values = []*string{&t.CA, &t.Cert, &t.Key, &t.ServerName}
	return t
}

// Flags are all of them, --tls first.
func (t *TLS) Flags() []*Flag { return append([]*Flag{t.on}, t.others...) }

// Settle works out On. Each of the others asks for TLS too: who names an
// authority must not be sent in the clear because of a forgotten --tls. Only an
// explicit no is stronger, and not than what stands on the same command line:
// that is an error.
func (t *TLS) Settle() error {
	off := t.on.Given && !t.On
	for _, f := range t.others {
		switch {
		case !f.Given:
		case off && !f.FromEnv && t.on.FromEnv:
			return fmt.Errorf("%s=%s turns TLS off, but --%s is given; give --tls too, or leave that out", t.on.Env, t.on.Value, f.Name)
		case off && !f.FromEnv:
			return fmt.Errorf("--tls=%s turns TLS off, but --%s is given; leave out one of them", t.on.Value, f.Name)
		}
		t.On = t.On || f.Given && !off
	}
	for _, file := range []*string{&t.CA, &t.Cert, &t.Key} {
		if *file == "" {
			continue
		}
		path, err := filepath.Abs(*file)
		if err != nil {
			return fmt.Errorf("%s: %w", *file, err)
		}
		*file = path
	}
	return nil
}

// Exposed gives the file with the private key and its mode where others can read
// it, "" otherwise, also where there is none.
func (t *TLS) Exposed() (file string, mode fs.FileMode) {
	file = t.Key
	if file == "" {
		file = t.Cert
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o044 == 0 {
		return "", 0
	}
	return file, info.Mode().Perm()
}

// Environment has a child do likewise: nothing where nothing was said.
func (t *TLS) Environment() []string {
	var env []string
	for i, f := range t.others {
		if t.On && f.Given {
			env = append(env, f.Env+"="+*t.values[i])
		}
	}
	switch {
	case t.On:
		env = append(env, t.on.Env+"=yes")
	case t.on.Given:
		env = append(env, t.on.Env+"=no")
	}
	return env
}
