package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/zktest"
)

func TestCompletionWords(t *testing.T) {
	led := billing()
	led.Participants = append(led.Participants[:1:1], zkelect.Participant{ID: "web2:888"}, zkelect.Participant{ID: "tab\tnewline\n"})
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{led}}, env: map[string]string{"ZKELECT_SERVERS": "zk1"}}
	for _, test := range []struct{ words, want string }{ // separated by |
		{"--", "words|--help\tshow help|--version\tshow the version"},
		{"nosuch|", ""},
		{"version|", ""},
		{"__comp", "words"},
		{"run|--nonblock=", "words|--nonblock=yes|--nonblock=no"},
		{"run|--fence|", "files"},
		{"run|--fence=a", "files --fence="},
		{"run|-p|/x|--|ls|-", "command 4"},
		{"run|-nw5|l", "command 2"},
		{"run|-w|", "words"},
		{"status|-p|", "words|/jobs/a:b\tan election|/jobs/c/"},
		{"status|-qp/j", "words|-qp/jobs/a:b\tan election|-qp/jobs/c/"},
		{"status|x", "words"},
		{"status|relative/", "words"},
		{"status|/a|/", ""},
		{"resign|--to|", "words|web2:888\twaits"},
		{"resign|--id|", "words|web1:4121\tleads"},
		{"resign|--hold|f", "words|forever"},
		{"resign|--mi", "words|--mine\tonly if a participant of this host leads; with -r, every…"},
	} {
		if code := c.zkelect(append([]string{"__complete", "zsh"}, strings.Split(test.words, "|")...)...); code != 0 || c.stderr.Len() > 0 {
			t.Errorf("%s: exit %d: %s", test.words, code, &c.stderr)
		}
		got := strings.ReplaceAll(strings.TrimSuffix(c.stdout.String(), "\n"), "\n", "|")
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.words, got, test.want)
		}
	}
	if c.open.Servers != "zk1" || c.open.SessionTimeout > 5*time.Second {
		t.Errorf("%+v", c.open)
	}
}

func TestCompletionOfASilentServer(t *testing.T) {
	t.Parallel()
	for _, servers := range []string{zktest.Silent(t), zktest.Closed(t), "no.such.host.invalid"} {
		var stdout, stderr strings.Builder
		p := newProgram(nil, &stdout, &stderr, func(string) string { return "" })
		began := time.Now()
		if code := p.main([]string{"zkelect", "__complete", "fish", "status", "-s", servers, "/"}); code != 0 || stdout.String() != "words\n" || stderr.Len() > 0 {
			t.Errorf("%s: exit %d: %s%s", servers, code, &stdout, &stderr)
		}
		if took := time.Since(began); took > completionTimeout+time.Second {
			t.Errorf("%s: took %v", servers, took)
		}
	}
}

// Whatever is wrong, the prompt of whoever has pressed a key stays as it is.
func TestCompletionIsSilentAndSoonOver(t *testing.T) {
	for name, c := range map[string]*call{ // none is used yet
		"no server":   {err: errors.New("no server")},
		"bad auth":    {env: map[string]string{"ZKELECT_AUTH": "nonsense"}},
		"no election": {inspector: &fakeInspector{err: zkelect.ErrNoElection}},
		"no answer":   {inspector: &fakeInspector{hang: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, words := range [][]string{{"resign", "--to", ""}, {"status", "/jobs/"}} {
				c := *c // an answer that nobody waits for any more belongs to the call before
				began := time.Now()
				code := c.zkelect(append([]string{"__complete", "bash"}, words...)...)
				if took := time.Since(began); took > completionTimeout+time.Second {
					t.Error("took", took)
				}
				lines := strings.Count(c.stdout.String(), "\n")
				if code != 0 || c.stderr.Len() > 0 || !strings.HasPrefix(c.stdout.String(), "words\n") || name != "no answer" && name != "no election" && lines != 1 {
					t.Errorf("%q: exit %d: %s%s", words, code, &c.stdout, &c.stderr)
				}
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	var c call
	for _, shell := range cmdline.Shells() {
		if code := c.zkelect("completion", shell); code != 0 || !strings.Contains(c.stdout.String(), "__complete "+shell) {
			t.Errorf("%s: exit %d: %s", shell, code, &c.stderr)
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "csh"}, {"completion", "bash", "zsh"}} {
		if text := c.usage(t, 125, args...); !strings.Contains(text, "bash, zsh, fish") {
			t.Error(text)
		}
	}
}

// Values asks each flag with a word that it must refuse.
func TestEveryFlagCanBeAskedForItsValues(t *testing.T) {
	for _, c := range allCommands() {
		for _, f := range c.Flags {
			if f := f.(*cmdline.Flag); f.TakesValue() && f.Set("\x00") == nil {
				t.Errorf("%s --%s takes it", c.Name, f.Name)
			}
		}
	}
}
