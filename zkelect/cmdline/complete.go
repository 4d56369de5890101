package cmdline

import (
	"errors"
	"slices"
	"strings"
)

// Position is where in a command line its last word stands, which is being typed.
type Position struct {
	Flag *Flag // whose value it is; nil: none
	// Sticks is what stands before the value in the same word, as --path= or -qp.
	Sticks string
	Word   string   // what is typed so far, without Sticks
	Args   []string // before the word, flags and their values aside
	First  int      // the index of the first of them in words, len(words) - 1 where there is none
	Ended  bool     // no flag can stand here any more
}

// Complete reads a command line whose last word is being typed, as Parse would,
// and gives the flags before it their values. What Parse refuses is passed over:
// the line is not finished.
func Complete(flags []*Flag, words []string, permute bool, getenv func(string) string) Position {
	last := len(words) - 1
	p := Position{Word: words[last], First: last}
	for args := words[:last]; len(args) > 0; {
		arg, at := args[0], last-len(args)
		args = args[1:]
		var lacks *lacksValue
		var err error
		switch {
		case p.Ended || arg != "--" && (len(arg) < 2 || arg[0] != '-'):
			p.Ended = p.Ended || !permute
			if len(p.Args) == 0 {
				p.First = at
			}
			p.Args = append(p.Args, arg)
		case arg == "--":
			p.Ended = true
		case arg[1] == '-':
			args, err = parseLong(flags, arg[2:], args)
		default:
			args, err = parseShort(flags, arg[1:], args)
		}
		if errors.As(err, &lacks) {
			p.Flag = lacks.flag
		}
	}
	for _, f := range flags {
		_ = f.fromEnv(getenv)
	}
	if p.Flag == nil && !p.Ended {
		p.sticking(flags)
	}
	return p
}

// sticking finds the flag whose value sticks to it in the last word.
func (p *Position) sticking(flags []*Flag) {
	if name, value, ok := strings.Cut(p.Word, "="); ok && strings.HasPrefix(name, "--") {
		if i := slices.IndexFunc(flags, func(f *Flag) bool { return "--"+f.Name == name }); i >= 0 {
			p.Flag, p.Sticks, p.Word = flags[i], name+"=", value
		}
		return
	}
	if len(p.Word) < 3 || p.Word[0] != '-' || p.Word[1] == '-' {
		return
	}
	for n := 1; n < len(p.Word); n++ {
		i := slices.IndexFunc(flags, func(f *Flag) bool { return f.Short == p.Word[n:n+1] })
		switch {
		case i < 0:
			return
		case flags[i].Arg != "":
			p.Flag, p.Sticks, p.Word = flags[i], p.Word[:n+1], p.Word[n+1:]
			return
		}
	}
}
