package cmdline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/xrash/smetrics"
)

// ErrHelp stops Parse where help was asked for. A Set returns it.
var ErrHelp = errors.New("help")

// Parse reads a command's flags, then the variables of those that were not
// given, and returns the arguments. It is getopt_long as flock and timeout use
// it (-w5, -nE0, --wait=5), where urfave's parser knows neither values that
// stick to short flags nor flags behind an argument, reads numbers with a
// leading 0 as octal and takes an empty variable for a value. With permute,
// flags may follow arguments; without, the first argument ends them.
//
// An error other than ErrHelp is a sentence for whoever typed the line.
func Parse(flags []*Flag, args []string, permute bool, getenv func(string) string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			rest, args = append(rest, args...), nil
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			if !permute {
				rest, args = append(rest, args...), nil
			}
		case arg[1] == '-':
			args, err = parseLong(flags, arg[2:], args)
		default:
			args, err = parseShort(flags, arg[1:], args)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, f := range flags {
		if err := f.fromEnv(getenv); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// fromEnv gives a flag that was not given the value of its variable.
func (f *Flag) fromEnv(getenv func(string) string) error {
	value := getenv(f.Env)
	if f.Env == "" || f.Given || value == "" {
		return nil
	}
	f.FromEnv = true
	if err := f.take(value); err != nil {
		return fmt.Errorf("%s: %w", f.Env, err)
	}
	return nil
}

func parseLong(flags []*Flag, arg string, args []string) ([]string, error) {
	name, value, sticks := strings.Cut(arg, "=")
	i := slices.IndexFunc(flags, func(f *Flag) bool { return f.Name == name })
	if i < 0 {
		var names []string
		for _, f := range flags {
			names = append(names, f.Name)
		}
		return args, fmt.Errorf("unknown flag --%s%s", name, DidYouMean(name, names, "--"))
	}
	return give(flags[i], "--"+name, value, sticks, args)
}

func parseShort(flags []*Flag, arg string, args []string) ([]string, error) {
	// Go's own flags have one dash; here -path would be -p ath.
	name, _, _ := strings.Cut(arg, "=")
	if slices.ContainsFunc(flags, func(f *Flag) bool { return f.Name == name }) {
		return args, fmt.Errorf("unknown flag -%s; did you mean --%s?", name, name)
	}
	for {
		i := slices.IndexFunc(flags, func(f *Flag) bool { return f.Short != "" && f.Short == arg[:1] })
		if i < 0 {
			r, _ := utf8.DecodeRuneInString(arg)
			return args, fmt.Errorf("unknown flag -%c", r)
		}
		f, name := flags[i], "-"+arg[:1]
		arg = arg[1:]
		if f.Arg != "" || strings.HasPrefix(arg, "=") {
			return give(f, name, strings.TrimPrefix(arg, "="), arg != "", args)
		}
		if _, err := give(f, name, "", false, nil); err != nil || arg == "" {
			return args, err
		}
	}
}

// give gives a flag its value: what sticks to it, else the next argument. It
// returns the arguments that are left, also where the value is refused: Complete
// goes on there.
func give(f *Flag, name, value string, sticks bool, args []string) ([]string, error) {
	switch {
	case sticks:
	case f.Arg == "":
		value = "true"
	case len(args) == 0:
		return nil, &lacksValue{f, name}
	default:
		value, args = args[0], args[1:]
	}
	if err := f.take(value); errors.Is(err, ErrHelp) {
		return args, err
	} else if err != nil {
		return args, fmt.Errorf("%s: %w", name, err)
	}
	return args, nil
}

// lacksValue is a flag at the end of the line whose value does not follow.
type lacksValue struct {
	flag *Flag
	name string
}

func (e *lacksValue) Error() string {
	return fmt.Sprintf("the flag %s lacks its value, %s", e.name, e.flag.Arg)
}

// DidYouMean is a hint, to be put behind an error, where one of the names is at
// most two letters away from word; else "".
func DidYouMean(word string, names []string, prefix string) string {
	best, closest := 3, ""
	for _, name := range names {
		if d := smetrics.WagnerFischer(word, name, 1, 1, 1); d < best && d < len(name) {
			best, closest = d, name
		}
	}
	if closest == "" {
		return ""
	}
	return "; did you mean " + prefix + closest + "?"
}
