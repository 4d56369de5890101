// Package cmdline is the command line's own: flags as getopt_long reads them,
// the values they take, and what is written for people. It knows no ZooKeeper.
package cmdline

import (
	"errors"
	"flag"
	"slices"

	"github.com/urfave/cli/v2"
)

// Flag is one flag of a command: urfave's help, man pages and completions read
// its definition, Parse gives it its value. It is a cli.DocGenerationFlag and a
// cli.VisibleFlag.
type Flag struct {
	Name, Short string
	Env         string // the variable that stands in for it; empty is unset
	Arg         string // what its value is called; "" for a boolean
	Usage       string
	Preset      string             // its default, in words
	Set         func(string) error // takes the value: Text, Bool, Duration, ...
	// Words are values to offer where Set, being no OneOf, names none: see Values.
	Words []string

	Given   bool   // on the command line or by the variable
	FromEnv bool   // by the variable
	Value   string // as it was given
}

func (f *Flag) take(value string) error {
	f.Given, f.Value = true, value
	return f.Set(value)
}

// noWord is no value of any flag: no command line and no variable can hold it.
const noWord = "\x00"

// Values are the words that the flag takes, those of OneOf for one: it is asked with
// a value that every Set refuses, so that they need not be said twice.
func (f *Flag) Values() []string {
	var refused *noneOf
	if len(f.Words) == 0 && f.TakesValue() && errors.As(f.Set(noWord), &refused) {
		return refused.names
	}
	return f.Words
}

// Apply does nothing: urfave's own parser is not used.
func (f *Flag) Apply(*flag.FlagSet) error { return nil }

// Names are the flag's names without dashes, the long one first.
func (f *Flag) Names() []string { return cli.FlagNames(f.Name, filled(f.Short)) }

// IsSet tells whether the flag was given.
func (f *Flag) IsSet() bool { return f.Given }

// IsVisible tells that the help shows the flag.
func (f *Flag) IsVisible() bool { return true }

// TakesValue tells whether the flag is more than a boolean.
func (f *Flag) TakesValue() bool { return f.Arg != "" }

// GetUsage is what the flag does.
func (f *Flag) GetUsage() string { return f.Usage }

// GetValue is the flag's default in words.
func (f *Flag) GetValue() string { return f.Preset }

// GetDefaultText is the flag's default in words.
func (f *Flag) GetDefaultText() string { return f.Preset }

// GetEnvVars are the variables that stand in for the flag.
func (f *Flag) GetEnvVars() []string { return filled(f.Env) }

func filled(s string) []string {
	return slices.DeleteFunc([]string{s}, func(s string) bool { return s == "" })
}

// String is the flag in the help, its words below its names.
func (f *Flag) String() string {
	s := "--" + f.Name
	if f.Short != "" {
		s = "-" + f.Short + ", " + s
	}
	if f.Arg != "" {
		s += " " + f.Arg
	}
	s += "\n" + f.Usage
	if f.Preset != "" {
		s += " (default: " + f.Preset + ")"
	}
	if f.Env != "" {
		s += " [$" + f.Env + "]"
	}
	return s
}
