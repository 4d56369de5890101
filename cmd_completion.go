package main

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

const completionHelp = `Prints what a shell needs to complete zkelect's command lines: flags, their
values, paths, and ids as the servers have them now. 'make install' puts it
where the shells look.

Examples:
  # in ~/.bashrc
  source <(zkelect completion bash)
  # in ~/.zshrc, after compinit
  source <(zkelect completion zsh)
  # in fish, once
  zkelect completion fish >~/.config/fish/completions/zkelect.fish`

func (p *program) completionCommand() *cli.Command {
	shells := strings.Join(cmdline.Shells(), ", ")
	return &cli.Command{
		Name: "completion", Usage: "print the completion for " + shells, UsageText: "zkelect completion SHELL",
		Description: completionHelp,
		Action: func(ctx *cli.Context) error {
			shell := ctx.Args().First()
			if shell == "--help" || shell == "-h" {
				return cmdline.ErrHelp
			}
			script := cmdline.Completion(shell)
			if script == "" || ctx.Args().Len() != 1 {
				return p.usage("%q is no shell; give one of %s", strings.Join(ctx.Args().Slice(), " "), shells)
			}
			_, err := fmt.Fprint(p.stdout, script)
			return err
		},
	}
}

// completeCommand is for the shells: __complete SHELL WORD... answers what the last
// word of a command line can be. It is silent about whatever is wrong. The first
// line of the answer is one of
//
//	words            followed by them, one a line, behind a tab what it is
//	files STICKS     a file's name, behind what sticks to it
//	command N        from word N on, from 0, it is a command line of its own
func (p *program) completeCommand() *cli.Command {
	return &cli.Command{Name: "__complete", Hidden: true, Action: func(ctx *cli.Context) error {
		words := slices.Clone(ctx.Args().Tail())
		if ctx.Args().First() == "bash" {
			for i, word := range words {
				words[i] = cmdline.Unquote(word)
			}
		}
		if len(words) > 0 {
			p.complete(words)
		}
		return nil
	}}
}

// word is one that can be typed, and what it is.
type word struct{ text, about string }

func (p *program) complete(words []string) {
	if len(words) == 1 {
		p.answer(words[0], "", p.commandWords(words[0]))
		return
	}
	c := p.app.Command(words[0])
	if c == nil {
		return
	}
	last := words[len(words)-1]
	switch c.Name {
	case "completion":
		var shells []word
		for _, shell := range cmdline.Shells() {
			shells = append(shells, word{shell, ""})
		}
		p.answer(last, "", shells)
		return
	case "help":
		p.answer(last, "", append(p.commandWords(""), word{"--man", "as a manual page"}))
		return
	}

	flags := flagsOf(c)
	runs := strings.Contains(c.UsageText, "CMD")
	pos := cmdline.Complete(flags, words[1:], !runs, p.getenv)
	switch {
	case pos.Flag != nil:
		p.completeValue(c, pos)
	case !pos.Ended && strings.HasPrefix(pos.Word, "-"):
		p.answer(pos.Word, "", flagWords(flags))
	case runs:
		fmt.Fprintln(p.stdout, "command", 1+pos.First)
	case strings.Contains(c.UsageText, "PATH") && len(pos.Args) == 0:
		p.answer(pos.Word, "", p.paths(c, pos.Word))
	}
}

// answer prints those words that begin as what is typed.
func (p *program) answer(typed, sticks string, words []word) {
	fmt.Fprintln(p.stdout, "words")
	for _, w := range words {
		if !strings.HasPrefix(w.text, typed) || strings.ContainsAny(w.text, "\t\n") {
			continue
		}
		line := sticks + w.text
		if w.about != "" {
			line += "\t" + w.about
		}
		fmt.Fprintln(p.stdout, line)
	}
}

func (p *program) commandWords(typed string) []word {
	var words []word
	if strings.HasPrefix(typed, "-") {
		words = []word{{"--help", "show help"}, {"--version", "show the version"}}
	}
	for _, c := range p.app.VisibleCommands() {
		words = append(words, word{c.Name, c.Usage})
	}
	return words
}

func flagWords(flags []*cmdline.Flag) []word {
	var words []word
	for _, f := range flags {
		words = append(words, word{"--" + f.Name, cmdline.Shorten(f.Usage, 60)})
	}
	return words
}

// completeValue says what the value of a flag can be, by what its definition calls it.
func (p *program) completeValue(c *cli.Command, pos cmdline.Position) {
	var words []word
	switch values := pos.Flag.Values(); {
	case len(values) > 0:
		for _, value := range values {
			words = append(words, word{text: value})
		}
	case pos.Flag.Arg == "":
		words = []word{{"yes", ""}, {"no", ""}}
	case pos.Flag.Arg == "SIGNAL":
		for _, name := range cmdline.SignalNames() {
			words = append(words, word{text: name})
		}
	case pos.Flag.Arg == "FILE", pos.Flag.Arg == "CMD":
		fmt.Fprintln(p.stdout, strings.TrimSpace("files "+pos.Sticks))
		return
	case pos.Flag.Arg == "PATH":
		words = p.paths(c, pos.Word)
	case pos.Flag.Arg == "ID" && c.Name != "run": // whose own id is free
		words = p.ids(c, pos)
	}
	p.answer(pos.Word, pos.Sticks, words)
}

// paths are the elections, and the folders on the way to them, that begin as typed.
func (p *program) paths(c *cli.Command, typed string) []word {
	if typed == "" {
		typed = "/"
	}
	dir, prefix := path.Split(typed)
	if !strings.HasPrefix(dir, "/") {
		return nil
	}
	return p.ask(c, func(ctx context.Context, _ *settings, i inspector) (words []word, err error) {
		below, err := i.Browse(ctx, path.Clean(dir), prefix)
		for _, b := range below {
			switch {
			case b.Folder:
				words = append(words, word{text: b.Path + "/"})
			case b.Election:
				words = append(words, word{b.Path, "an election"})
			default:
				words = append(words, word{text: b.Path})
			}
		}
		return words, err
	})
}

// ids are those of the participants that a flag can be about.
func (p *program) ids(c *cli.Command, pos cmdline.Position) []word {
	return p.ask(c, func(ctx context.Context, s *settings, i inspector) (words []word, err error) {
		if len(pos.Args) > 0 {
			s.path = pos.Args[0]
		}
		e, err := i.Inspect(ctx, s.path)
		if err != nil {
			return nil, err
		}
		for _, x := range e.Participants {
			about := "waits"
			if x.Leader {
				about = "leads"
			}
			unfit := c.Name == "resign" && (pos.Flag.Name == "to" && x.Leader || pos.Flag.Name == "id" && !x.Leader)
			if !unfit {
				words = append(words, word{x.ID, about})
			}
		}
		return words, nil
	})
}

// completionTimeout is the longest that somebody who has pressed a key waits for
// the servers.
const completionTimeout = time.Second

// ask asks the servers that a command line names. Without an answer in time there
// is none: what is left of the question ends with the process.
func (p *program) ask(c *cli.Command, question func(context.Context, *settings, inspector) ([]word, error)) []word {
	n := slices.IndexFunc(p.made, func(s *settings) bool { return slices.Contains(c.Flags, cli.Flag(s.pathFlag)) })
	if n < 0 {
		return nil
	}
	s := p.made[n]
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	answer := make(chan []word, 1)
	go func() {
		cfg, err := s.config(slog.New(slog.DiscardHandler))
		if err != nil {
			answer <- nil
			return
		}
		cfg.Path, cfg.ACL, cfg.Observer = zkelect.DefaultPath, zkelect.ACLAuto, nil
		// So short that a silent server leaves time for another, and that the
		// session of one who does not wait for its end is soon over.
		cfg.SessionTimeout, cfg.ConnectTimeout = 2*completionTimeout, completionTimeout
		i, err := p.open(ctx, cfg)
		if err != nil {
			answer <- nil
			return
		}
		words, _ := question(ctx, s, i)
		i.Close()
		answer <- words
	}()
	select {
	case words := <-answer:
		return words
	case <-ctx.Done():
		return nil
	}
}
