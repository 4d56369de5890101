package zkelect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"zkelect/zkelect/internal/zkconn"
)

// failed warns of a certificate that does not count, where no error would tell:
// sessions live for longer than certificates, and a leader whose next connection
// is refused has no other sign of it before its lease is over. Once for each
// server: the tries go on.
func (s *zkSession) failed(server string, err error) {
	why := tlsFault(err, s.cfg.TLS)
	if why == "" || hungUp(err) { // as a server that is going down does, too
		return
	}
	told := s.link.Timeout() == 0 && !s.unbounded
	s.mu.Lock()
	told = told || s.warned[server] || s.state == sessionLost
	if !told {
		if s.warned == nil {
			s.warned = map[string]bool{}
		}
		s.warned[server] = true
	}
	s.mu.Unlock()
	if !told {
		s.cfg.emit(EventTLSFault, slog.String("server", server), slog.String("error", why))
	}
}

// tlsFault is what has kept TLS, or the lack of it, from a server, with the next
// step; "" where the error is about something else. TLS as in Config.
func tlsFault(err error, t *TLS) string {
	var handshake *zkconn.HandshakeError
	var hangUp *zkconn.HangUp
	switch {
	case errors.Is(err, zkconn.ErrSpeaksTLS):
		return "it speaks TLS; give --tls"
	case errors.As(err, &handshake):
		return handshakeFault(handshake.Err, t)
	case errors.As(err, &hangUp) && hangUp.Secure:
		if why := refusal(hangUp.Err, t); why != "" {
			return why
		}
		if t.Cert == "" {
			return "it hung up behind the TLS handshake: it serves nobody yet, or wants a client certificate (--tls-cert)"
		}
		return "it hung up behind the TLS handshake: it serves nobody yet, or refuses our certificate (--tls-cert)"
	case errors.As(err, &hangUp) && hungUp(hangUp.Err):
		return "it hung up without an answer: it serves nobody yet, or wants TLS (--tls)"
	}
	return ""
}

func handshakeFault(err error, t *TLS) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		known := "the system's authorities"
		if t.CA != "" {
			known = "those in " + t.CA
		}
		issuer := ""
		if authority.Cert != nil {
			issuer = fmt.Sprintf(" (issuer %s)", authority.Cert.Issuer)
		}
		return fmt.Sprintf("its certificate is signed by none of %s%s; give the file of the right authority by --tls-ca", known, issuer)
	case errors.As(err, &host):
		if names := certNames(host.Certificate); names != "" {
			return fmt.Sprintf("its certificate is for %s, not for %s; connect by such a name, or give one by --tls-server-name", names, host.Host)
		}
		return fmt.Sprintf("its certificate (%s) names no host; issue one with its host as subjectAltName", host.Certificate.Subject)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("the certificate of %s is %s; renew it there, or set this host's clock", invalid.Cert.Subject, validity(invalid.Cert))
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "its certificate is not good: " + err.Error()
	case hungUp(err): // as ZooKeeper does on a plain port, and where nothing suits both
		return "it hung up on the TLS handshake; give its secure port (secureClientPort), or leave TLS out (--tls=no)"
	case errors.As(err, &record):
		return "it does not speak TLS; give its secure port (secureClientPort), or leave TLS out (--tls=no)"
	}
	if why := refusal(err, t); why != "" {
		return why
	}
	return "TLS handshake: " + strings.TrimPrefix(err.Error(), "tls: ")
}

// refusal is why a server has refused us by an alert, "" where it has sent none.
func refusal(err error, t *TLS) string {
	var alert *net.OpError
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		return ""
	}
	what := strings.TrimPrefix(alert.Err.Error(), "tls: ")
	switch {
	case !strings.Contains(what, "certificate"):
		return fmt.Sprintf("it refuses our TLS: %s", what)
	case t.Cert == "":
		return fmt.Sprintf("it wants a client certificate (%s); give --tls-cert and --tls-key", what)
	}
	ours := t.leaf()
	if ours == nil {
		return fmt.Sprintf("it refuses our certificate: %s", what)
	}
	if now := time.Now(); now.After(ours.NotAfter) || now.Before(ours.NotBefore) {
		return fmt.Sprintf("it refuses our certificate (%s), which is %s; renew %s", what, validity(ours), t.Cert)
	}
	return fmt.Sprintf("it refuses our certificate (%s), that of %s, signed by %s; give one by --tls-cert that its trust store takes", what, ours.Subject, ours.Issuer)
}

// leaf is the certificate of ours that was shown last.
func (t *TLS) leaf() *x509.Certificate {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || t.last.GetClientCertificate == nil {
		return nil
	}
	pair, err := t.last.GetClientCertificate(nil)
	if err != nil {
		return nil
	}
	return pair.Leaf
}

// hungUp tells whether the other side has ended a connection without a word.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// certNames are the hosts that a certificate is for.
func certNames(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return strings.Join(names, ", ")
}

// validity is why a certificate does not count now.
func validity(c *x509.Certificate) string {
	const day = "2006-01-02 15:04 MST"
	now := time.Now()
	if now.Before(c.NotBefore) {
		return fmt.Sprintf("not valid before %s, and it is %s here", c.NotBefore.UTC().Format(day), now.UTC().Format(day))
	}
	return fmt.Sprintf("expired since %s, and it is %s here", c.NotAfter.UTC().Format(day), now.UTC().Format(day))
}
