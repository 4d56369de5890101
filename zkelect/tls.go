package zkelect

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// TLS says how the servers are to prove who they are, and how we do. The zero
// value asks for certificates that the system's authorities have signed for the
// hosts of the connect string, and shows none.
//
// Files are in PEM. They are read for each connection, so that renewed ones count
// from the next one on. Where that fails, as in the middle of a renewal, those
// read last go on and EventTLSFiles tells why.
type TLS struct {
	// CA is a file with the certificates of the authorities that may have signed
	// a server's. Default: the system's.
	CA string
	// Cert is a file with our certificate, those of the authorities between
	// behind it. Default: we show none.
	Cert string
	// Key is a file with the certificate's private key, without a passphrase.
	// Default: Cert, which then holds both.
	Key string
	// ServerName is the name that every server's certificate must be for.
	// Default: the server's own host in the connect string.
	ServerName string

	mu    sync.Mutex
	last  *tls.Config // of the files as they were read last
	fault string      // what was wrong with them since then
}

// absolute is t with files that are found after a change of the directory too.
func (t *TLS) absolute() *TLS {
	abs := func(name string) string {
		if path, err := filepath.Abs(name); name != "" && err == nil {
			return path
		}
		return name
	}
	return &TLS{CA: abs(t.CA), Cert: abs(t.Cert), Key: abs(t.Key), ServerName: t.ServerName}
}

// Check reads the files and tells what is wrong with them, with the next step.
// Errors wrap ErrConfig and show nothing of a file's content.
func (t *TLS) Check() error {
	_, err := t.load()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// load makes a configuration of the files.
func (t *TLS) load() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		content, err := readPEM("CA", t.CA)
		if err != nil {
			return nil, fmt.Errorf("%w; give the certificate of the authority that signed the servers'", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("TLS CA file %s: no certificate in PEM; give that of the authority that signed the servers'", t.CA)
		}
	}
	if t.Cert == "" {
		if t.Key != "" {
			return nil, fmt.Errorf("TLS key file %s without its certificate; give --tls-cert too", t.Key)
		}
		return cfg, nil
	}
	cert, err := readPEM("certificate", t.Cert)
	if err != nil {
		return nil, err
	}
	keyFile := cmp.Or(t.Key, t.Cert)
	key, err := readPEM("key", keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
	case !hasBlock(cert, "CERTIFICATE"):
		return nil, fmt.Errorf("TLS certificate file %s: no certificate in PEM", t.Cert)
	case encrypted(key):
		return nil, fmt.Errorf("TLS key file %s: the key has a passphrase, which nobody could type; give it without, readable by its user alone", keyFile)
	case !hasBlock(key, "PRIVATE KEY") && t.Key == "":
		return nil, fmt.Errorf("TLS certificate file %s: no private key in it; give its file by --tls-key", t.Cert)
	case !hasBlock(key, "PRIVATE KEY"):
		return nil, fmt.Errorf("TLS key file %s: no private key in PEM", keyFile)
	default: // mostly a key that is another certificate's
		return nil, fmt.Errorf("TLS certificate file %s with key file %s: %s", t.Cert, keyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	// Where the server names authorities, Go shows nothing if ours is not among
	// them. Let the server say that it does not want it.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return cfg, nil
}

// maxPEM is far more than all the authorities of a system.
const maxPEM = 8 << 20

// readPEM reads a file that must be there again for the next connection: a pipe
// would also hold up who opens it.
func readPEM(what, name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file, which can be read again for each connection")
	case info.Size() > maxPEM:
		err = fmt.Errorf("larger than %d bytes", maxPEM)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(name)
	}
	if path := new(os.PathError); errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		return nil, fmt.Errorf("TLS %s file %s: %w", what, name, err)
	}
	return content, nil
}

// hasBlock tells whether there is a PEM block of a type that ends so.
func hasBlock(content []byte, suffix string) bool {
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, suffix) {
			return true
		}
		content = rest
	}
}

func encrypted(content []byte) bool {
	return bytes.Contains(content, []byte("BEGIN ENCRYPTED PRIVATE KEY")) || bytes.Contains(content, []byte("Proc-Type: 4,ENCRYPTED"))
}

// secure is the TLS of a connection to host: a zkconn.Secure for those who have
// a Config.
func (c *Config) secure(host string) (*tls.Config, error) {
	t := c.TLS
	t.mu.Lock()
	defer t.mu.Unlock()
	cfg, err := t.load()
	switch {
	case err == nil:
		t.last, t.fault = cfg, ""
	case t.last == nil:
		return nil, err
	default:
		cfg = t.last
		if err.Error() != t.fault { // told once, not at each of many dials
			t.fault = err.Error()
			c.emit(EventTLSFiles, slog.Any("error", err))
		}
	}
	cfg = cfg.Clone()
	cfg.ServerName = cmp.Or(t.ServerName, host)
	return cfg, nil
}
