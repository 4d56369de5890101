package cmdline

import (
	_ "embed" // the shells' own
	"strings"
)

// Each asks "zkelect __complete SHELL WORD..." and knows no flag by itself.
var (
	//go:embed completion.bash
	bash string
	//go:embed completion.zsh
	zsh string
	//go:embed completion.fish
	fish string
)

// Shells are those that Completion has a script for.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion is what a shell reads to complete zkelect's command lines, "" for one
// that is not known.
func Completion(shell string) string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
}

// Unquote is a word as it was typed in bash without its quotes, of which the last
// may not be closed yet. Nothing is expanded.
func Unquote(typed string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(typed); i++ {
		c := typed[i]
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == '\\' && quote != '\'' && i+1 < len(typed) && (quote == 0 || strings.IndexByte("$`\"\\", typed[i+1]) >= 0):
			i++
			b.WriteByte(typed[i])
		case c == '\\' && quote == 0: // nothing behind it yet
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
