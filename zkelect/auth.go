package zkelect

import (
	"fmt"
	"strings"
)

// Auth is one credential given to the servers on every connection.
// It has no String that shows the secret.
type Auth struct {
	Scheme string // "digest"
	Secret []byte // "user:password"
}

// String hides the secret.
func (a Auth) String() string { return a.Scheme + ":***" }

// GoString hides the secret from %#v too.
func (a Auth) GoString() string { return a.String() }

// ParseAuth parses the content of an auth file: one line
// digest:user:password, blank lines and lines that begin with # aside. The
// password may hold colons and spaces. No error shows any of the content.
// Errors wrap ErrConfig.
func ParseAuth(content []byte) (*Auth, error) {
	var auth *Auth
	n := 0
	text := strings.TrimPrefix(string(content), "\ufeff") // as some editors begin a file
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if auth != nil {
			return nil, fmt.Errorf("%w: line %d is a second credential; give one", ErrConfig, n)
		}
		secret, digest := strings.CutPrefix(line, "digest:")
		user, password, colon := strings.Cut(secret, ":")
		switch {
		case !digest:
			return nil, fmt.Errorf("%w: line %d does not begin with digest:, the one scheme there is; give digest:user:password", ErrConfig, n)
		case !colon || user == "" || password == "":
			return nil, fmt.Errorf("%w: line %d lacks user or password; give digest:user:password", ErrConfig, n)
		case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return nil, fmt.Errorf("%w: line %d has a control character", ErrConfig, n)
		}
		auth = &Auth{Scheme: "digest", Secret: []byte(secret)}
	}
	if auth == nil {
		return nil, fmt.Errorf("%w: no credential; give a line digest:user:password", ErrConfig)
	}
	return auth, nil
}
