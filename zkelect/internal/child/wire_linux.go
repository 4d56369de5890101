package child

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the two ends of a guard's socket say to each other: a kind and fields of
// any bytes, since arguments and variables may be any.
type message struct {
	kind   byte
	fields []string
}

// The kinds of messages.
const (
	sayHello  = 'i' // to the guard: what it has to know
	sayStart  = 's' // start this command
	sayStop   = 't' // the stop signal for the tree
	sayKill   = 'k' // KILL for the tree
	saySignal = 'g' // a signal for the command's process group
	sayFreeze = 'z' // stop the tree where it stands
	sayThaw   = 'y' // and let it go on
	sayLease  = 'l' // the deadlines in force
	sayWill   = 'w' // what is to be run once the owner has died
	sayHere   = 'a' // nothing but an answer is wanted
	sayClose  = 'c' // nothing runs and nothing is to be done: end

	tellHeard   = 'h' // from the guard: it has taken up a message; the field is that message's kind
	tellStarted = 'p' // the command runs; its pid
	tellFailed  = 'f' // it could not be started; the errno, or 0 and a text
	tellLapsed  = 'o' // the lease is over and the guard ends the tree
	tellExited  = 'x' // the main process has ended; its status
	tellDone    = 'd' // nothing of the tree is left; the status of the main process
)

// How a command is started, in a sayStart.
const (
	howForeground = "foreground" // of the terminal, which the guard outside has lent
	howNoInput    = "no-input"
)

// maxMessage bounds a message: Linux gives a program's arguments and variables a
// quarter of its stack, 2 MB by default and 6 MB at most.
const maxMessage = 16 << 20

func (m message) encode() []byte {
	b := append(make([]byte, 4, 64), m.kind)
	for _, f := range m.fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

var errMessage = errors.New("not a message of a guard")

func readMessage(r io.Reader) (message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxMessage {
		return message{}, errMessage
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return message{}, err
	}
	m := message{kind: b[0]}
	for b = b[1:]; len(b) > 0; {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) {
			return message{}, errMessage
		}
		m.fields = append(m.fields, string(b[used:used+int(size)]))
		b = b[used+int(size):]
	}
	return m, nil
}

// field is the nth field, "" where there is none.
func (m message) field(n int) string {
	if n < len(m.fields) {
		return m.fields[n]
	}
	return ""
}

func (m message) number(n int) int {
	v, _ := strconv.Atoi(m.field(n))
	return v
}

func (m message) duration(n int) time.Duration {
	v, _ := strconv.ParseInt(m.field(n), 10, 64)
	return time.Duration(v)
}

func number[T ~int | ~int64](v T) string { return strconv.FormatInt(int64(v), 10) }

// socketPair returns the two ends, neither of which a child inherits by itself. The
// second one is for a process that waits in its reads.
func socketPair() (ours *os.File, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	_ = unix.SetNonblock(fds[0], true) // it has always been possible
	return os.NewFile(uintptr(fds[0]), "guard"), fds[1], nil
}

// guardEnd is the guard's end of the socket. A read waits in the kernel, in the thread
// that asks; a write does not wait.
type guardEnd int

func (e guardEnd) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(e), b)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// pending tells whether there is something to read, or is within a time.
func (e guardEnd) pending(within time.Duration) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(e), Events: unix.POLLIN}}, int(within.Milliseconds()))
	return n > 0
}

func (e guardEnd) Write(b []byte) (int, error) {
	return unix.SendmsgN(int(e), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// handed gives the descriptors of a child that gets extra, under the number it
// has here, besides std: whatever else this process was started with is passed
// on, and what it opened itself is not. The list is by number, so that no two of
// them can get in each other's way.
func handed(std []uintptr, extra int) []uintptr {
	const closed = ^uintptr(0)
	files := append(make([]uintptr, 0, extra+1), std...)
	for fd := len(files); fd < extra; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			files = append(files, closed)
		} else {
			files = append(files, uintptr(fd))
		}
	}
	return append(files, uintptr(extra))
}

// errnoOf is the errno in an error of the system, 0 if there is none.
func errnoOf(err error) syscall.Errno {
	var no syscall.Errno
	errors.As(err, &no)
	return no
}
