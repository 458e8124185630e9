package port

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
	"clusterd/internal/port/shim"
)

// Shim says what is to be done in a new process before it becomes its command.
type Shim struct {
	Adopt bool // let the supervisor decide its bind and listen calls
	Grip  Grip // how it gets hold of the sockets
	// Inherited are the names of the sockets that it is given as descriptors 3
	// and on, by systemd's protocol (sd_listen_fds(3)).
	Inherited []string
}

// ShimPath is the program to execute as a shim.
const ShimPath = shim.Path

// Args is the command line of a shim that becomes the program at path with the
// command line argv. Its descriptors 3 and on must be what Inherited names, and
// after them the process's end of a socket from ShimPair.
func (s Shim) Args(path string, argv []string) []string {
	o := shim.Order{Inherited: s.Inherited, Path: path, Argv: argv}
	if s.Adopt {
		o.Filter = seccomp.Filter(s.Grip.noted()...)
	}
	return o.Args()
}

func errnoOf(report []byte) syscall.Errno {
	if len(report) < 5 {
		return 0
	}
	return syscall.Errno(binary.LittleEndian.Uint32(report[1:]))
}

// ShimPair returns the two ends of the socket over which a shim reports. Both
// are closed on exec; the shim's is to be passed on as its last descriptor, and
// closed here once it has been.
func ShimPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "shim"), os.NewFile(uintptr(fds[1]), "shim"), nil
}

// RefusedError says that a shim could not prepare its process, which has ended
// without executing anything.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// AwaitShim blocks until the shim at the other end of ours has become its
// command, which takes as long as the file systems of the command do, and
// returns the listener, if one was asked for. The error is a *RefusedError, or
// the syscall.Errno of execve(2), or that of a shim that died. ours stays open.
func AwaitShim(ours *os.File) (l *seccomp.Listener, err error) {
	defer func() {
		if err != nil && l != nil {
			l.Close()
			l = nil
		}
	}()
	for {
		msg, fd, err := receive(int(ours.Fd()))
		switch {
		case err == io.EOF:
			return l, nil
		case err != nil:
			return l, err
		case msg[0] == shim.WordListener && fd >= 0:
			if l, err = seccomp.NewListener(fd); err != nil {
				return nil, err
			}
		case msg[0] == shim.WordRefused && len(msg) >= 5:
			return l, &RefusedError{string(msg[5:])}
		case msg[0] == shim.WordExec && len(msg) >= 5:
			return l, errnoOf(msg)
		default:
			return l, fmt.Errorf("the shim said %q", msg)
		}
	}
}

// receive reads one message and the descriptor that came with it, -1 for none.
func receive(socket int) (msg []byte, fd int, err error) {
	buf, oob := make([]byte, 512), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(socket, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, -1, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		return nil, -1, io.EOF
	}
	fd = -1
	if cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(cmsgs) == 1 {
		if fds, err := unix.ParseUnixRights(&cmsgs[0]); err == nil && len(fds) == 1 {
			fd = fds[0]
		}
	}
	return buf[:n], fd, nil
}
