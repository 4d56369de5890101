package cmdline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSecret is far more than a line of credentials.
const maxSecret = 64 << 10

// Secret is a file with credentials.
type Secret struct {
	Content []byte
	// Path is absolute, for a child that changes its directory. It is "" for
	// what can be read once, a pipe, as in --auth-file <(...).
	Path string
	Mode fs.FileMode
}

// Exposed tells that others can read the file.
func (s *Secret) Exposed() bool { return s.Path != "" && s.Mode.Perm()&0o044 != 0 }

// ReadSecret reads a small file. Its errors leave the name to the caller.
func ReadSecret(name string) (*Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	s := &Secret{Mode: info.Mode()}
	switch {
	case info.IsDir():
		return nil, errors.New("is a directory")
	case info.Mode().IsRegular():
		if s.Path, err = filepath.Abs(name); err != nil {
			return nil, err
		}
	}
	s.Content, err = io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(s.Content) > maxSecret {
		err = fmt.Errorf("larger than %d bytes", maxSecret)
	}
	return s, err
}
