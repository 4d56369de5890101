package cmdline

import (
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		words  string // "_" is an empty one
		stay   bool   // the first argument ends the flags
		flag   string
		sticks string
		word   string
		args   string
		first  int
		ended  bool
		path   string
	}{
		{words: "_", word: "", path: "/env"},
		{words: "--pa", word: "--pa", path: "/env"},
		{words: "--path _", flag: "path", first: 1, path: "/env"},
		{words: "--path /a", flag: "path", word: "/a", first: 1, path: "/env"},
		{words: "--path=/a", flag: "path", sticks: "--path=", word: "/a", path: "/env"},
		{words: "-p/a", flag: "path", sticks: "-p", word: "/a", path: "/env"},
		{words: "-qp/a", flag: "path", sticks: "-qp", word: "/a", path: "/env"},
		{words: "-qp /a", flag: "path", word: "/a", first: 1, path: "/env"},
		{words: "-qp /a _", first: 2, path: "/a"},
		{words: "-q", word: "-q", path: "/env"},
		{words: "--quiet=y", flag: "quiet", sticks: "--quiet=", word: "y", path: "/env"},
		{words: "-xp/a", word: "-xp/a", path: "/env"},
		{words: "--nosuch --kind=z --help -p /a /b", word: "/b", first: 5, path: "/a"},
		{words: "/x -p /a -", word: "-", args: "/x", path: "/a"},
		{words: "-p /a -- -q", word: "-q", first: 3, ended: true, path: "/a"},
		{words: "-p /a -- env -p /b -", word: "-", args: "env -p /b", first: 3, ended: true, path: "/a"},
		{words: "-p /a env -p /b -", stay: true, word: "-", args: "env -p /b", first: 2, ended: true, path: "/a"},
		{words: "-p /a en", stay: true, word: "en", first: 2, path: "/a"},
		{words: "-- --path", stay: true, word: "--path", first: 1, ended: true, path: "/env"},
	} {
		var path, kind string
		var quiet bool
		flags := []*Flag{
			{Name: "path", Short: "p", Arg: "PATH", Env: "P", Set: Text(&path)},
			{Name: "kind", Arg: "KIND", Set: OneOf(&kind, []string{"a", "b"}, []string{"a", "b"})},
			{Name: "quiet", Short: "q", Set: Bool(&quiet)},
			{Name: "help", Short: "h", Set: func(string) error { return ErrHelp }},
		}
		words := strings.Fields(test.words)
		for i := range words {
			words[i] = strings.TrimPrefix(words[i], "_")
		}
		p := Complete(flags, words, !test.stay, func(string) string { return "/env" })
		flag := ""
		if p.Flag != nil {
			flag = p.Flag.Name
		}
		if flag != test.flag || p.Sticks != test.sticks || p.Word != test.word || strings.Join(p.Args, " ") != test.args ||
			p.First != test.first || p.Ended != test.ended || path != test.path {
			t.Errorf("%q: %s %+v, path %s", test.words, flag, p, path)
		}
	}
}

func TestValues(t *testing.T) {
	kind := ""
	f := Flag{Name: "kind", Arg: "KIND", Set: OneOf(&kind, []string{"a", "b"}, []string{"x", "y"})}
	if got := f.Values(); !slices.Equal(got, []string{"a", "b"}) || kind != "" || f.Given {
		t.Errorf("%q, and now it is %q", got, kind)
	}
	f = Flag{Name: "time", Arg: "DURATION", Set: Text(&kind), Words: []string{"auto"}}
	if got := f.Values(); !slices.Equal(got, []string{"auto"}) || kind != "" {
		t.Errorf("%q, and now it is %q", got, kind)
	}
	f = Flag{Name: "text", Arg: "TEXT", Set: Text(&kind)}
	if got := f.Values(); got != nil || kind != "" {
		t.Errorf("%q, and now it is %q", got, kind)
	}
	f = Flag{Name: "quiet", Set: func(string) error { panic("asked") }}
	if got := f.Values(); got != nil {
		t.Errorf("%q", got)
	}
}
