package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Disown takes an accepted connection out of the counts of its slot: what it has
// brought is not counted any more, but for its bytes, and nor is what it will
// bring or be sent. It is for whoever accepts in the place of the slot's process.
func (c *Counter) Disown(slot, fd int) error {
	if err := c.check(slot); err != nil {
		return err
	}
	if err := c.disown(slot, fd); err != nil {
		return fmt.Errorf("take a connection out of the counts of slot %d: %w", slot, err)
	}
	return nil
}

func (c *Counter) disown(slot, fd int) error {
	key, err := keyOf(fd)
	if errors.Is(err, unix.ENOTCONN) {
		return nil // its client has reset it: nobody else gets what it has brought
	}
	if err != nil {
		return err
	}
	_, err = c.incoming.Disown.Run(&ebpf.RunOptions{Context: &requestsDisowned{Key: key, Slot: uint32(slot)}})
	if err != nil {
		return err
	}
	return c.Detach(fd) // it spares the work
}

// keyOf is the key of a connection in the map of all, by the socket that was
// accepted: the addresses as they are in its client's packets.
func keyOf(fd int) (key requestsKey, err error) {
	client, err := unix.Getpeername(fd)
	if err != nil {
		return key, os.NewSyscallError("getpeername", err)
	}
	server, err := unix.Getsockname(fd)
	if err != nil {
		return key, os.NewSyscallError("getsockname", err)
	}
	var addrs []byte
	var ports [2]int // the server's first: the higher half
	for i, sa := range []unix.Sockaddr{client, server} {
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			addrs, ports[1-i] = append(addrs, sa.Addr[:]...), sa.Port
		case *unix.SockaddrInet6:
			addr := sa.Addr[:]
			if v4, ok := mapped(sa.Addr); ok { // its packets are IPv4's
				addr = v4
			}
			addrs, ports[1-i] = append(addrs, addr...), sa.Port
		default:
			return key, errors.New("it is no connection of TCP")
		}
	}
	for i := range len(addrs) / 4 {
		key.Addrs[i] = binary.NativeEndian.Uint32(addrs[4*i:])
	}
	key.Ports = uint32(swap(ports[0]))<<16 | uint32(swap(ports[1]))
	return key, nil
}

// mapped is the IPv4 address in an IPv4-mapped one.
func mapped(a [16]byte) (v4 []byte, ok bool) {
	prefix := [12]byte{10: 0xff, 11: 0xff}
	return a[12:], [12]byte(a[:12]) == prefix
}

// swap puts a port into the order of the network, as the program reads it.
func swap(port int) uint16 { return uint16(port)<<8 | uint16(port)>>8 }
