package port

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// transplant puts a duplicate of held where the caller has the socket s, at
// descriptor, and gives it what the process has done to s so far: options,
// flags, and registrations with epoll, which are of the file and not of the
// descriptor.
func transplant(c *caller, s socket, held int) error {
	if err := s.copyOptions(held); err != nil {
		return err
	}
	pid, err := c.Process()
	if err != nil {
		return err
	}
	flags, err := flagsOf(c.TID, c.fd)
	if err != nil {
		return err
	}
	registrations, err := registrationsOf(pid, c.fd)
	if err != nil {
		return err
	}
	for _, r := range registrations {
		if err := r.move(c, s, held); err != nil {
			return fmt.Errorf("move an epoll registration: %w", err)
		}
	}
	return c.Put(held, c.fd, flags&unix.O_CLOEXEC != 0)
}

// flagsOf are the flags of a thread's descriptor and its file, as in open(2).
func flagsOf(tid, fd int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", tid, fd))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("flags:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	flags, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 8, 64)
	return int(flags), err
}

// registration is one registration of a descriptor with an epoll instance.
type registration struct {
	epoll  int // the process's descriptor of the epoll instance
	events uint32
	data   uint64
}

// registrationsOf lists the registrations that a process has made for a descriptor,
// see proc_pid_fdinfo(5).
func registrationsOf(pid, fd int) ([]registration, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []registration
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err != nil || link != "anon_inode:[eventpoll]" {
			continue
		}
		epoll, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, epoll))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(info)) {
			r := registration{epoll: epoll}
			var target int
			if n, _ := fmt.Sscanf(line, "tfd: %d events: %x data: %x", &target, &r.events, &r.data); n == 3 && target == fd {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// move makes the same registration for held, which is about to take the place of
// the caller's socket s. The kernel knows a registration by file and descriptor
// number together, so it is made by a thread in which held has that very number.
func (r registration) move(c *caller, s socket, held int) error {
	epoll, err := c.reach.epoll(c, r.epoll)
	if err != nil {
		return err
	}
	return apart(func() error {
		// Its old registration ends with the last duplicate of s, not with this
		// thread: until then it tells of a socket that is in no state to be used.
		defer unix.Close(s.fd)
		// Out of the way of the number that held needs.
		ep, err := unix.FcntlInt(uintptr(epoll), unix.F_DUPFD_CLOEXEC, c.fd+1)
		if err != nil {
			return os.NewSyscallError("dup", err)
		}
		if held != c.fd {
			if err := unix.Dup3(held, c.fd, unix.O_CLOEXEC); err != nil {
				return os.NewSyscallError("dup3", err)
			}
		}
		ev := unix.EpollEvent{Events: r.events, Fd: int32(r.data), Pad: int32(r.data >> 32)}
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, c.fd, &ev)
		if errors.Is(err, unix.EEXIST) { // the call was interrupted, and is made again
			err = nil
		}
		return os.NewSyscallError("epoll_ctl", err)
	})
}

// apart does something in a thread that has a table of descriptors of its own,
// a copy, and that ends with it.
func apart(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread of a process never ends, and would keep all files open
			// for good. While it waits here, it must be another one.
			defer runtime.UnlockOSThread()
			done <- apart(do)
			return
		}
		// Never unlocked: so the thread ends with the goroutine.
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			done <- os.NewSyscallError("unshare", err)
			return
		}
		done <- do()
	}()
	return <-done
}
