package zkelect

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzAuth(f *testing.F) {
	for _, seed := range []string{"", "digest:u:p", "digest:u:p:q r\r\n", "#\n\ndigest:u:p\n", "x509:a", "digest:u", "digest:\xff:p", "digest:a:b\ndigest:c:d", "\ufeffdigest:u:p", "\ufeff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		auth, err := ParseAuth(content)
		if err == nil {
			user, password, _ := bytes.Cut(auth.Secret, []byte(":"))
			if len(user) == 0 || len(password) == 0 || bytes.ContainsAny(auth.Secret, "\n\r\x00") {
				t.Errorf("%q: %q", content, auth.Secret)
			}
			return
		}
		// An error must be made of our words alone.
		const words = "no credential give a line digest:user:password lacks user or password is a second one does not begin with the one scheme there is has control character bad configuration"
		for word := range strings.FieldsFuncSeq(err.Error(), func(r rune) bool { return strings.ContainsRune(" ;,:0123456789", r) }) {
			if !strings.Contains(words, word) {
				t.Errorf("%q: %v (%s)", content, err, word)
			}
		}
	})
}
