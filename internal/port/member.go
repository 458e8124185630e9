package port

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A member is one socket of the group: a slot's, or clusterd's own.
type member struct {
	fd    int              // a descriptor that the member's owner closes; -1: none, a stranger's
	cell  uint32           // its key in a socket array; 0 is the own socket at index 0
	slot  *held            // nil: clusterd's own, or a stranger's
	serve *net.TCPListener // accepts from clusterd's own
	spare bool             // it is one of clusterd's own to which nothing is sent
}

// own opens a listening socket of clusterd's own and accepts from it. As long as
// nothing is steered to it, that costs nothing.
func (c *cohort) own() (*member, error) {
	fd, err := c.addr.join(c.uid)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return c.accepting(&member{fd: fd, cell: c.freeCell(0)})
}

// accepting has a socket of clusterd's own accepted from. With an error, it is
// closed.
func (c *cohort) accepting(m *member) (*member, error) {
	l, err := listener(m.fd)
	if err != nil {
		unix.Close(m.fd)
		return nil, err
	}
	m.serve = l
	c.loops.Go(func() { accept(l, c.stray) })
	return m, nil
}

// fallback tells whether it gets what no slot can take.
func (m *member) fallback() bool { return m.ours() && !m.spare }

// ours tells whether it is one of clusterd's own.
func (m *member) ours() bool { return m.serve != nil }

// close ends a socket of clusterd's own.
func (m *member) close() {
	_ = unix.Shutdown(m.fd, unix.SHUT_RD)
	m.serve.Close()
	unix.Close(m.fd)
}

// accept gives each connection of l away until l is closed, or its deadline has
// passed.
func accept(l net.Listener, to func(net.Conn)) {
	for {
		switch conn, err := l.Accept(); {
		case err == nil:
			to(conn)
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.EINVAL): // EINVAL: shut down
			return
		default:
			time.Sleep(100 * time.Millisecond) // out of descriptors or memory
		}
	}
}

func listens(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on == 1
}
