package cmdline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func noEnv(string) string { return "" }

func testFlags() []*Flag {
	any := func(string) error { return nil }
	return []*Flag{
		{Name: "nonblock", Short: "n", Set: any},
		{Name: "wait", Short: "w", Arg: "D", Env: "WAIT", Set: any},
		{Name: "path", Short: "p", Arg: "P", Set: Text(new(string))},
		{Name: "help", Short: "h", Set: func(string) error { return ErrHelp }},
	}
}

func TestParseLikeGetopt(t *testing.T) {
	for _, test := range []struct {
		args    string
		permute bool
		want    string // a, n, w and the arguments
	}{
		{"-n", false, "n=true"},
		{"-nw5", false, "n=true w=5"},
		{"-nw 5", false, "n=true w=5"},
		{"-nw=5", false, "n=true w=5"},
		{"-w5 -w 6", false, "w=6"},
		{"--wait=5 --nonblock=no", false, "n=no w=5"},
		{"--wait 5", false, "w=5"},
		{"--wait --nonblock", false, "w=--nonblock"},
		{"-n=off", false, "n=off"},
		{"-n sleep -w 5", false, "n=true [sleep -w 5]"},
		{"-n -- -w 5", false, "n=true [-w 5]"},
		{"help", false, "[help]"},
		{"-- help", false, "[help]"},
		{"-", false, "[-]"},
		{"a -n b --wait 5 c", true, "n=true w=5 [a b c]"},
		{"a -- -n", true, "[a -n]"},
	} {
		flags := testFlags()
		rest, err := Parse(flags, strings.Fields(test.args), test.permute, noEnv)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
		}
		var got []string
		for _, f := range flags {
			if f.Given {
				got = append(got, f.Short+"="+f.Value)
			}
		}
		if len(rest) > 0 {
			got = append(got, fmt.Sprint(rest))
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%s: got %s, want %s", test.args, text, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for args, want := range map[string]string{
		"--wiat 5":   "unknown flag --wiat; did you mean --wait?",
		"--frob":     "unknown flag --frob",
		"-x":         "unknown flag -x",
		"-nx":        "unknown flag -x",
		"-é":         "unknown flag -é",
		"-path /x":   "unknown flag -path; did you mean --path?",
		"-w":         "the flag -w lacks its value, D",
		"-n --wait":  "the flag --wait lacks its value, D",
		"--path=":    "--path: its value is empty",
		"-nh --frob": ErrHelp.Error(),
	} {
		rest, err := Parse(testFlags(), strings.Fields(args), true, noEnv)
		if err == nil || err.Error() != want || rest != nil {
			t.Errorf("%s: %q, %v", args, rest, err)
		}
		if help := want == ErrHelp.Error(); errors.Is(err, ErrHelp) != help {
			t.Errorf("%s: %v is not ErrHelp itself", args, err)
		}
	}
}

func TestVariables(t *testing.T) {
	env := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"WAIT": value}[name] }
	}
	for _, test := range []struct {
		args, value string
		want        Flag
	}{
		{"", "7", Flag{Given: true, FromEnv: true, Value: "7"}},
		{"", "", Flag{}},
		{"-w5", "7", Flag{Given: true, Value: "5"}},
	} {
		flags := testFlags()
		if _, err := Parse(flags, strings.Fields(test.args), false, env(test.value)); err != nil {
			t.Error(err)
		}
		if f := flags[1]; f.Given != test.want.Given || f.FromEnv != test.want.FromEnv || f.Value != test.want.Value {
			t.Errorf("%q, WAIT=%s: %+v", test.args, test.value, f)
		}
	}
	flags := testFlags()
	flags[1].Set = Duration(new(time.Duration))
	if _, err := Parse(flags, nil, false, env("soon")); err == nil || !strings.HasPrefix(err.Error(), `WAIT: "soon" is not`) {
		t.Error(err)
	}
}
