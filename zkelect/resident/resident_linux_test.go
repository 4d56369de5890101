package resident

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestReadOnly(t *testing.T) {
	const program = "/usr/bin/zkelect"
	for line, want := range map[string]bool{
		"00400000-00733000 r-xp 00000000 fe:00 9978700    /usr/bin/zkelect":       true,
		"00733000-00a00000 r--p 00333000 fe:00 9978700    /usr/bin/zkelect":       true,
		"00a00000-00a40000 rw-p 00600000 fe:00 9978700    /usr/bin/zkelect":       false, // written to
		"00400000-00733000 r-xp 00000000 fe:00 9978700    /usr/bin/other":         false,
		"00400000-00733000 r-xp 00000000 fe:00 9978700    /usr/bin/zkelect.so":    false,
		"7ffd1d9e9000-7ffd1d9ed000 r--p 00000000 00:00 0                  [vvar]": false,
		"": false, "x-y r-xp 0 0 0 /usr/bin/zkelect": false, "00400000 r-xp /usr/bin/zkelect": false,
	} {
		from, to, ok := readOnly(line, program)
		if ok != want || ok && (from == 0 || to <= from) {
			t.Errorf("%q: %x-%x %v", line, from, to, ok)
		}
	}
	if _, _, ok := readOnly("00400000-00733000 r-xp 00000000 fe:00 9978700    /usr/bin/zkelect (deleted)", program+" (deleted)"); !ok {
		t.Error("a program that was replaced meanwhile")
	}
}

// mapped is what this process has resident of files, in kB.
func mapped(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}

func TestShrink(t *testing.T) {
	before := mapped(t)
	Shrink()
	if after := mapped(t); after > before*3/4 {
		t.Errorf("%d kB of files before, %d after", before, after)
	}
}
