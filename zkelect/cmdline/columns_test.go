package cmdline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestColumns(t *testing.T) {
	var b strings.Builder
	c := NewColumns(&b)
	for _, row := range [][]string{{"PATH", "LEADER"}, {"/jobs/ä", "web1"}, {"/x", "a long one"}, {"/y"}} {
		if err := c.Row(row...); err != nil || b.Len() > 0 {
			t.Fatal(err, b.String())
		}
	}
	if err := c.Flush(); err != nil || b.String() != "PATH     LEADER\n/jobs/ä  web1\n/x       a long one\n/y\n" {
		t.Fatalf("%v\n%s", err, &b)
	}
	// Later blocks are no narrower.
	b.Reset()
	_ = c.Row("/z", "b")
	if _ = c.Flush(); b.String() != "/z       b\n" {
		t.Fatalf("%q", &b)
	}
	// Rows are written before all have come.
	b.Reset()
	for n := range 10_000 {
		if _ = c.Row(fmt.Sprint(n), "x"); len(c.rows) > blockRows {
			t.Fatal("rows are kept")
		}
	}
	if strings.Count(b.String(), "\n") < 10_000-blockRows {
		t.Errorf("%d rows", strings.Count(b.String(), "\n"))
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestColumnsCannotWrite(t *testing.T) {
	c := NewColumns(full{})
	if err := c.Row("a"); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err == nil {
		t.Error("no error")
	}
}
