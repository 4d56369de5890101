package zktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An Authority signs certificates for tests.
type Authority struct {
	Certificate []byte // in PEM

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one of this name. It is valid from an hour ago, for a day.
func NewAuthority(name string) (*Authority, error) {
	a := &Authority{cert: template(name)}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("zktest: authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("zktest: authority: %w", err)
	}
	a.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// A Pair is a certificate and its key, in PEM.
type Pair struct{ Certificate, Key []byte }

// Issue makes a certificate for hosts, names and addresses, for a server as for
// a client. It ends in a day, or at until where that is not zero.
func (a *Authority) Issue(name string, until time.Time, hosts ...string) (Pair, error) {
	cert := template(name)
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, host)
		}
	}
	if !until.IsZero() {
		cert.NotAfter = until
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("zktest: issue: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("zktest: issue: %w", err)
	}
	// The form of a key that ZooKeeper can read.
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("zktest: issue: %w", err)
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}, nil
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(fmt.Sprintf("zktest: no random numbers: %v", err)) // crypto/rand never fails
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// secure is the TLS of a server.
type secure struct {
	pair    Pair
	clients []byte
}

// TLS adds a secure client port to the plain one ([Server.SecureAddr]): the
// server shows this certificate, and clients must show one that an authority in
// clients (PEM) has signed.
func TLS(server Pair, clients []byte) Option {
	return func(c *config) { c.secure = &secure{server, clients} }
}

// hostSecurePort is the secure client port on a host of its own.
const hostSecurePort = 2281

// secureLines are the lines of zoo.cfg for the secure port, whose files it
// writes; none without TLS.
func (s *Server) secureLines() (map[string]string, error) {
	tls := s.cfg.secure
	if tls == nil {
		return nil, nil
	}
	keys, clients := filepath.Join(s.dir, "server.pem"), filepath.Join(s.dir, "clients.pem")
	if err := os.WriteFile(keys, append(append([]byte(nil), tls.pair.Certificate...), tls.pair.Key...), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(clients, tls.clients, 0o644); err != nil {
		return nil, err
	}
	return map[string]string{
		"serverCnxnFactory":       "org.apache.zookeeper.server.NettyServerCnxnFactory",
		"secureClientPort":        fmt.Sprint(s.secure.number),
		"secureClientPortAddress": s.cfg.host,
		"ssl.keyStore.location":   keys, // its type is told by the name's end
		"ssl.trustStore.location": clients,
	}, nil
}

// secureAccepts tells whether the secure port is open, where there is to be one: it
// opens after the plain one.
func (s *Server) secureAccepts(bound time.Duration) bool {
	if s.cfg.secure == nil {
		return true
	}
	c, err := net.DialTimeout("tcp", s.SecureAddr(), bound)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// SecureAddr returns the address of the secure client port, host:port, of a
// server with [TLS].
func (s *Server) SecureAddr() string { return s.cfg.clientAddr(s.secure.number) }
