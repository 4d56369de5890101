package resident

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmap forgets what is mapped from the program's file and cannot be written: code,
// constants and Go's tables. The next touch maps it again (madvise(2), MADV_DONTNEED).
func unmap() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		from, to, ok := readOnly(strings.TrimSuffix(line, "\n"), program)
		if ok {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // no harm where it is not done
		}
	}
}

// readOnly takes a line of /proc/PID/maps apart:
//
//	00400000-00733000 r-xp 00000000 fe:00 9978700    /usr/bin/zkelect
func readOnly(line, program string) (from, to uintptr, ok bool) {
	span, rest, _ := strings.Cut(line, " ")
	rights, _, _ := strings.Cut(rest, " ")
	first, last, _ := strings.Cut(span, "-")
	low, err1 := strconv.ParseUint(first, 16, 64)
	high, err2 := strconv.ParseUint(last, 16, 64)
	ok = err1 == nil && err2 == nil && (rights == "r-xp" || rights == "r--p") && strings.HasSuffix(line, " "+program)
	return uintptr(low), uintptr(high), ok
}
