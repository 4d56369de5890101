package cmdline

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// blockRows is how many rows are kept to align them.
	blockRows = 100
	// blockTime is how long a row waits for more of them.
	blockTime = 200 * time.Millisecond
)

// Columns writes a long table as its rows come, in blocks. A column is as wide as its
// widest cell so far, so that it settles, and nothing is kept of what is written.
type Columns struct {
	to     io.Writer
	widths []int
	rows   [][]string
	since  time.Time // of the first of rows
}

// NewColumns writes to to.
func NewColumns(to io.Writer) *Columns { return &Columns{to: to} }

// Row takes a row.
func (c *Columns) Row(cells ...string) error {
	if len(c.rows) == 0 {
		c.since = time.Now()
	}
	c.rows = append(c.rows, cells)
	if len(c.rows) < blockRows && time.Since(c.since) < blockTime {
		return nil
	}
	return c.Flush()
}

// Flush writes the rows that are left.
func (c *Columns) Flush() error {
	for _, row := range c.rows {
		for n, cell := range row {
			if n == len(c.widths) {
				c.widths = append(c.widths, 0)
			}
			c.widths[n] = max(c.widths[n], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range c.rows {
		for n, cell := range row {
			b.WriteString(cell)
			if n < len(row)-1 {
				b.WriteString(strings.Repeat(" ", c.widths[n]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	c.rows = c.rows[:0]
	_, err := io.WriteString(c.to, b.String())
	return err
}
