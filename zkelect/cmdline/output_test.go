package cmdline

import "testing"

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"web1:4121": "web1:4121", "Zoë 日本": "Zoë 日本", "a\x1b[31m\n": `a\x1b[31m\n`,
		"\xff\u202e": `\xff\u202e`, "\ufffd": "\ufffd", "it's": "it's", "'\x00'": `'\x00'`,
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
