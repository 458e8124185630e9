package handover

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"
)

// Format is the version of everything that is packed. It changes with each change
// that a program of before could not take.
const Format = 1

// A Bag is what is handed over. It is safe for concurrent use.
type Bag struct {
	mu    sync.Mutex
	fds   map[int]bool // true: taken; in a bag that is being packed, all are false
	parts map[string]cbor.RawMessage
}

// NewBag returns an empty bag, to be packed.
func NewBag() *Bag { return &Bag{fds: map[int]bool{}, parts: map[string]cbor.RawMessage{}} }

// Keep has a descriptor stay open in the next program, under its number, which it
// returns for the state that names it. It stays the caller's, who must not close it
// any more.
func (b *Bag) Keep(fd int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fds[fd] = false
	return fd
}

// KeepFile is Keep for what is open as a file. It is an error if the file is
// closed.
func (b *Bag) KeepFile(f syscall.Conn) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	kept := -1
	err = raw.Control(func(fd uintptr) { kept = b.Keep(int(fd)) })
	return kept, err
}

// Pack puts a part into the bag. Its type must be one that CBOR can carry: exported
// fields, no functions, no channels.
func (b *Bag) Pack(part string, state any) error {
	raw, err := encoding.Marshal(state)
	if err != nil {
		return fmt.Errorf("pack %s: %w", part, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[part] = raw
	return nil
}

// Unpack fills in a part of the bag; it is an error if there is none.
func (b *Bag) Unpack(part string, state any) error {
	b.mu.Lock()
	raw, ok := b.parts[part]
	b.mu.Unlock()
	if !ok {
		return fmt.Errorf("unpack %s: nothing was handed over", part)
	}
	if err := cbor.Unmarshal(raw, state); err != nil {
		return fmt.Errorf("unpack %s: %w", part, err)
	}
	return nil
}

// Take makes a descriptor that was kept the caller's. It is an error if it was not,
// or has been taken already.
func (b *Bag) Take(fd int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch taken, kept := b.fds[fd]; {
	case !kept:
		return -1, fmt.Errorf("take descriptor %d: it was not handed over", fd)
	case taken:
		return -1, fmt.Errorf("take descriptor %d: it has been taken", fd)
	}
	b.fds[fd] = true
	return fd, nil
}

// Close closes what nobody has taken.
func (b *Bag) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for fd, taken := range b.fds {
		if !taken {
			unix.Close(fd)
			b.fds[fd] = true
		}
	}
}

// document is a bag as it is written.
type document struct {
	Format int
	FDs    []int
	Parts  map[string]cbor.RawMessage
}

// encoding keeps what a Go program means: times to the nanosecond, with their zone.
var encoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// write puts the bag into a file without a name.
func (b *Bag) write() (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	doc := document{Format: Format, Parts: b.parts}
	for fd := range b.fds {
		doc.FDs = append(doc.FDs, fd)
	}
	slices.Sort(doc.FDs)
	raw, err := encoding.Marshal(doc)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("clusterd-handover", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if _, err := f.Write(raw); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// read is the bag in a file, whose descriptors are closed in execve(2) from here on.
func read(f *os.File) (*Bag, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return nil, err
	}
	var head struct{ Format int }
	if err := cbor.Unmarshal(raw, &head); err != nil {
		return nil, err
	}
	if head.Format != Format {
		return nil, fmt.Errorf("it has format %d, and this program takes %d", head.Format, Format)
	}
	var doc document
	if err := cbor.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	b := &Bag{fds: map[int]bool{}, parts: doc.Parts}
	for _, fd := range doc.FDs {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, errors.Join(fmt.Errorf("descriptor %d: %w", fd, err))
		}
		b.fds[fd] = false
	}
	return b, nil
}
