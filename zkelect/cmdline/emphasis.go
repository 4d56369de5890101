package cmdline

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Emphasis is whether what matters most is shown in bold.
type Emphasis bool

// EmphasisOn tells whether whoever reads w has eyes: it is a terminal that can, and
// NO_COLOR (https://no-color.org) is not set.
func EmphasisOn(w io.Writer, getenv func(string) string) Emphasis {
	if answer, ok := w.(*Answer); ok {
		w = answer.To
	}
	file, ok := w.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "" || getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Row is a row, or the end of one, of a table that text/tabwriter aligns. That counts
// what the terminal does not show, so that it must be as much in each row.
func (on Emphasis) Row(strong bool, row string) string {
	const bold, normal = "\x1b[1m", "\x1b[0m"
	switch {
	case !bool(on):
		return row
	case strong:
		return bold + row + normal
	}
	return normal + row
}
