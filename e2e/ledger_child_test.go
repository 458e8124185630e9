package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ledger is what a process owes its clients: the connections that it has
// accepted, and those that it has answered. It is a file, so that it outlives the
// process, whenever that ends.
type ledger struct{ begun, answered *atomic.Uint64 }

const ledgerSize = 16

// openLedger makes the file $E2E_LEDGER.PID.
func openLedger() (ledger, error) {
	f, err := os.Create(fmt.Sprintf("%s.%d", os.Getenv("E2E_LEDGER"), os.Getpid()))
	if err != nil {
		return ledger{}, err
	}
	defer f.Close()
	if err := f.Truncate(ledgerSize); err != nil {
		return ledger{}, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, ledgerSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return ledger{}, os.NewSyscallError("mmap", err)
	}
	return ledger{(*atomic.Uint64)(unsafe.Pointer(&b[0])), (*atomic.Uint64)(unsafe.Pointer(&b[8]))}, nil
}

// A balance is what all processes of an app have entered into their ledgers: the
// connections accepted, and how many of them are not answered. One that a process
// was just about to accept counts.
type balance struct{ processes, accepted, owed int }

// balanceOf reads the ledgers in $E2E_LEDGER.
func balanceOf(t testing.TB, books string) (b balance) {
	t.Helper()
	files, err := filepath.Glob(books + ".*")
	for _, file := range files {
		var text []byte
		if text, err = os.ReadFile(file); err != nil {
			break
		}
		if len(text) < ledgerSize {
			continue // killed before it could listen
		}
		accepted, answered := binary.NativeEndian.Uint64(text), binary.NativeEndian.Uint64(text[8:])
		b.processes++
		b.accepted += int(accepted)
		b.owed += int(accepted - answered)
	}
	if err != nil || b.accepted == 0 {
		t.Fatalf("the ledgers of %d processes have %d connections; %v", b.processes, b.accepted, err)
	}
	return b
}

// serveLedger answers on the listener that the arguments name, or on the one that
// it was given (LISTEN_FDS), each time after a moment. Any signal ends it in
// whatever it does.
func serveLedger() error {
	books, err := openLedger()
	if err != nil {
		return err
	}
	l, err := ownListener()
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(&bookkeeper{l.(*net.TCPListener), books}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Millisecond) // so that every death concerns somebody
			fmt.Fprintf(w, "%s/%s %d", os.Getenv("CLUSTERD_APP"), os.Getenv("CLUSTERD_INSTANCE"), os.Getpid())
		}))
	}()
	return nil
}

// ownListener is the one of the first address among the arguments, without any
// descriptor 3.
func ownListener() (net.Listener, error) {
	if len(os.Args) > 2 {
		return net.Listen(os.Args[1], os.Args[2])
	}
	if os.Getenv("LISTEN_FDS") != "1" || os.Getenv("LISTEN_PID") != fmt.Sprint(os.Getpid()) {
		return nil, errors.New("no address, and no socket in descriptor 3")
	}
	f := os.NewFile(3, "given")
	defer f.Close()
	return net.FileListener(f)
}

// A bookkeeper enters its connections into a ledger.
type bookkeeper struct {
	*net.TCPListener
	books ledger
}

// Accept enters a connection before it takes it, and takes the entry back when
// there is none: death may come at any moment.
func (l *bookkeeper) Accept() (net.Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	failed := raw.Control(func(listener uintptr) {
		for fd < 0 {
			if _, err = unix.Poll([]unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}, -1); err == nil {
				l.books.begun.Add(1)
				if fd, _, err = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err != nil {
					l.books.begun.Add(^uint64(0))
				}
			}
			if err != nil && err != unix.EINTR && err != unix.EAGAIN {
				return
			}
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "accepted")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &entry{conn, l.books}, nil
}

// An entry is a connection that is answered when the server closes it.
type entry struct {
	net.Conn
	books ledger
}

func (e *entry) Close() error {
	err := e.Conn.Close()
	e.books.answered.Add(1)
	return err
}

// serveInherited answers on the socket that it was given, unless the file that a
// test has written, in its folder, is there. Any signal ends it.
func serveInherited() error {
	if _, err := os.Stat("hang"); err == nil {
		return nil
	}
	l, err := ownListener()
	if err != nil {
		return err
	}
	answerOn(l)
	return nil
}
