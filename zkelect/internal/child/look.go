//go:build unix

package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is searched when PATH is not set at all, as execvp does.
const defaultPath = "/bin:/usr/bin"

// Look finds the program of a command as execvp would: a name with a slash as
// it is, any other along PATH, where an empty element is the working directory.
// Nothing is started. An error wraps ErrNotFound or ErrNotExecutable.
func Look(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("the command is empty: %w; name a program after --", ErrNotFound)
	}
	if strings.Contains(name, "/") {
		if err := executable(name); err != nil {
			return "", lookError(name, err)
		}
		return name, nil
	}
	path, set := os.LookupEnv("PATH")
	if !set {
		path = defaultPath
	}
	var denied error // found, but not to be run: the answer only if nothing better follows
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		err := executable(file)
		if err == nil {
			return file, nil
		}
		// A folder that may not be searched tells nothing of what is in it:
		// where the name is nowhere else, it is unknown, as shells say.
		if _, unseen := os.Stat(file); denied == nil && unseen == nil {
			denied = lookError(file, err)
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s: %w in PATH; check the spelling, install it or give its full path", name, ErrNotFound)
}

// executable says whether execve would accept the file, short of reading it.
func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular():
		return syscall.EACCES
	}
	return eaccess(file)
}

// eaccess asks with the effective user, as execve and chdir do, and so knows
// of ACLs, capabilities and noexec mounts.
func eaccess(file string) error {
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}

// missing holds for the errors after which execvp takes the next element of PATH
// without remembering them.
func missing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

func lookError(file string, err error) error {
	switch {
	case missing(err):
		return fmt.Errorf("%s: %w: no such file; check its path", file, ErrNotFound)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s: %w: it is a directory; name a program in it", file, ErrNotExecutable)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w: permission denied; chmod +x it, or run it through its interpreter", file, ErrNotExecutable)
	}
	return fmt.Errorf("%s: %w: %w", file, ErrNotExecutable, err)
}
