package ebpf

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// wire is the far end of a network interface: what is written to it the kernel
// receives, in exactly that order. It is in a network namespace of its own.
type wire struct {
	tun *os.File
	run chan func()
}

var (
	wireHere  = [4]byte{10, 9, 0, 1} // the kernel's address
	wireThere = [4]byte{10, 9, 0, 2} // ours
)

// newWire makes the namespace and the interface, and a thread in it.
func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{run: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			w.tun, err = openTun()
		}
		made <- err
		for do := range w.run {
			do()
		}
	}()
	t.Cleanup(func() { close(w.run) })
	if err := <-made; err != nil {
		missing(t, "a network namespace and /dev/net/tun are needed: "+err.Error())
	}
	t.Cleanup(func() { w.tun.Close() })
	return w
}

// inside calls do on a thread in the namespace.
func (w *wire) inside(do func()) {
	done := make(chan struct{})
	w.run <- func() {
		defer close(done)
		do()
	}
	<-done
}

func openTun() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	tun := os.NewFile(uintptr(fd), "/dev/net/tun")
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tun.Close()
		return nil, err
	}
	defer unix.Close(socket)
	for _, step := range []struct {
		fd  int
		req uint
		set func(*unix.Ifreq) error
	}{
		{fd, unix.TUNSETIFF, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI); return nil }},
		{socket, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(wireHere[:]) }},
		{socket, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{socket, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		request, err := unix.NewIfreq("wire0")
		if err == nil {
			err = step.set(request)
		}
		if err == nil {
			err = unix.IoctlIfreq(step.fd, step.req, request)
		}
		if err != nil {
			tun.Close()
			return nil, err
		}
	}
	return tun, nil
}

const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

// peer is the client of a TCP connection that is made by hand.
type peer struct {
	t         *testing.T
	wire      *wire
	from, to  uint16
	seq, acks uint32 // of the first byte of its stream; what it acknowledges
}

// dial opens a connection to a port of the kernel's end.
func (w *wire) dial(t *testing.T, from, to uint16, isn uint32) *peer {
	t.Helper()
	p := &peer{t: t, wire: w, from: from, to: to, seq: isn}
	p.write(isn, 0, syn, nil)
	p.answered()
	p.write(p.seq, p.acks, ack, nil)
	return p
}

// answered waits for the answer to a SYN.
func (p *peer) answered() {
	p.t.Helper()
	packet := make([]byte, 2000)
	for {
		n, err := p.wire.tun.Read(packet)
		if err != nil {
			p.t.Fatal(err)
		}
		if n < 40 || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_TCP {
			continue
		}
		tcp := packet[packet[0]&15*4 : n]
		if binary.BigEndian.Uint16(tcp[2:]) == p.from && tcp[13] == syn|ack {
			p.acks = binary.BigEndian.Uint32(tcp[4:]) + 1
			p.seq++
			return
		}
	}
}

// send sends a part of the stream, which begins at offset.
func (p *peer) send(offset int, part string) {
	p.t.Helper()
	p.write(p.seq+uint32(offset), p.acks, ack, []byte(part))
}

// end sends the end of the stream, which is at offset.
func (p *peer) end(offset int) {
	p.t.Helper()
	p.write(p.seq+uint32(offset), p.acks, ack|fin, nil)
}

func (p *peer) write(seq, acks uint32, flags byte, data []byte) {
	p.t.Helper()
	tcp := binary.BigEndian.AppendUint16(nil, p.from)
	tcp = binary.BigEndian.AppendUint16(tcp, p.to)
	tcp = binary.BigEndian.AppendUint32(tcp, seq)
	tcp = binary.BigEndian.AppendUint32(tcp, acks)
	tcp = append(tcp, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0) // window, checksum, urgent
	tcp = append(tcp, data...)
	pseudo := append(wireThere[:], wireHere[:]...)
	pseudo = append(pseudo, 0, unix.IPPROTO_TCP, byte(len(tcp)>>8), byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))

	ip := []byte{4<<4 | 5, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_TCP, 0, 0}
	ip = append(append(ip, wireThere[:]...), wireHere[:]...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	if _, err := p.wire.tun.Write(append(ip, tcp...)); err != nil {
		p.t.Fatal(err)
	}
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
