package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who gets new connections, of sockets in every standing.
func TestChoose(t *testing.T) {
	sock := func(slot int, s standing) *held {
		return &held{owner: Owner{slot, 1}, standing: s, listening: true}
	}
	shunned := func(h *held) *held { h.watch.shunned = true; return h }
	deaf := func(h *held) *held { h.listening = false; return h }
	for _, tt := range []struct {
		name string
		held []*held
		want []int
	}{
		{"nobody", nil, nil},
		{"the live ones", []*held{sock(0, live), sock(1, joined), sock(2, vacant), sock(3, draining), sock(4, live)}, []int{0, 4}},
		{"who does not listen is not live", []*held{deaf(sock(0, live)), sock(1, live)}, []int{1}},
		{"stuck ones last", []*held{shunned(sock(0, live)), sock(1, live), sock(2, joined)}, []int{1}},
		{"all stuck", []*held{shunned(sock(0, live)), shunned(sock(1, live)), sock(2, joined)}, []int{0, 1}},
		{"expected ones", []*held{sock(1, joined), sock(2, vacant), sock(3, draining)}, []int{1, 2}},
		{"only draining", []*held{sock(3, draining)}, nil},
	} {
		var got []int
		for _, s := range choose(tt.held).spread {
			got = append(got, s.to.owner.Slot)
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: slots %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The ranges of the hash follow the weights, and leave no value out.
func TestRanges(t *testing.T) {
	var spread []share
	index := map[*held]uint32{}
	for i, w := range []uint32{256, 128, 64, 64} {
		h := &held{}
		index[h] = uint32(i + 1)
		spread = append(spread, share{h, w})
	}
	want := []leaf{{from: 0, index: 1}, {from: 32768, index: 2}, {from: 49152, index: 3}, {from: 57344, index: 4}}
	if got := ranges(index, spread); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A thousand slots fit into one program, which the kernel takes; more do not, and
// that is said.
func TestManySlots(t *testing.T) {
	closesAll(t)
	g := open(t, "127.0.0.1", freePort(t))
	hold(t, g, 0)
	steer := func(n int) error {
		var members []*member
		var all []*held
		for i := range n {
			h := &held{owner: Owner{i, 1}, standing: live, listening: true}
			all = append(all, h)
			members = append(members, &member{slot: h, cell: uint32(i)})
		}
		var p classic
		if err := p.apply(members, choose(all)); err != nil {
			return err
		}
		return p.attach(g.slots[0][0])
	}
	for _, n := range []int{1, 2, 100, 300, 1000} {
		if err := steer(n); err != nil {
			t.Errorf("%d slots: %v", n, err)
		}
	}
	if err := steer(1100); err == nil {
		t.Error("1,100 slots fit")
	} else {
		t.Log(err)
	}
}

// Weights are respected.
func TestWeights(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly).unwatched()
	for _, o := range owners(3) {
		s.start(o)
	}
	s.mu.Lock()
	for slot, mean := range []float64{0, 1, 4} { // full, a half, an eighth of it
		s.held[slot].watch = watch{mean: mean}
	}
	s.steerAll()
	s.mu.Unlock()
	const n = 1300
	s.connect(n)
	eventually(t, "all are queued", func() bool { return s.queueOf(0)+s.queueOf(1)+s.queueOf(2) == n })
	for slot, want := range []int{800, 400, 100} {
		if got := s.queueOf(slot); got < want*7/10 || got > want*13/10 {
			t.Errorf("slot %d has %d of %d connections, want about %d", slot, got, n, want)
		}
	}
}

// Only who comes from ::1 is believed to bear a mark, by either program. In a
// network of its own, so that there is another address.
func TestMarkOnlyFromLoopback(t *testing.T) {
	const inside = "CLUSTERD_TEST_NETWORK"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestMarkOnlyFromLoopback$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			missing(t, "no network of its own can be had: "+err.Error())
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	other := netip.MustParseAddr("fd00::77")
	if err := addLoopbackAddress(other); err != nil {
		t.Fatal(err)
	}
	// The kernel has work of its own to do before there is a way to it (net/ipv6/addrconf.c).
	eventually(t, "the address can be reached", func() bool {
		c, err := net.Dial("udp", netip.AddrPortFrom(other, 9).String())
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	for name, program := range map[string]func(*FrontOptions){"classic": classicOnly, "best": func(*FrontOptions) {}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, dualStack, program).unwatched()
			for _, o := range owners(4) {
				s.start(o)
			}
			const n = 40
			d := net.Dialer{
				LocalAddr: &net.TCPAddr{IP: other.AsSlice()},
				Control:   control(option{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, markHops + 2}),
			}
			for range n {
				c, err := d.Dial("tcp", netip.AddrPortFrom(other, s.at.At.Port()).String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			eventually(t, "all are queued", func() bool {
				return s.queueOf(0)+s.queueOf(1)+s.queueOf(2)+s.queueOf(3) == n
			})
			if s.queueOf(2) > n*3/4 {
				t.Errorf("%d of %d connections reached the slot whose mark they bore", s.queueOf(2), n)
			}
		})
	}
}

// addLoopbackAddress brings lo up and gives it an IPv6 address, see netdevice(7)
// and struct in6_ifreq.
func addLoopbackAddress(a netip.Addr) error {
	out, err := exec.Command("sh", "-c", "ip link set lo up && ip addr add "+a.String()+"/128 dev lo nodad").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// BenchmarkConnect is the time that a connection takes from connect to close, with
// 8 slots, by who chooses the slot.
func BenchmarkConnect(b *testing.B) {
	for name, opts := range map[string]FrontOptions{"hash": {Hash: true}, "classic": {classic: true}, "best": {}} {
		b.Run(name, func(b *testing.B) {
			at := anyIPv4.on(benchmarkPort(b))
			opts.Port = int(at.At.Port())
			f := NewFront(opts)
			defer f.Close()
			for _, o := range owners(8) {
				fd, err := at.join(uint32(os.Geteuid()))
				if err != nil {
					b.Fatal(err)
				}
				if err := f.Join(o, fd, 0); err != nil {
					b.Fatal(err)
				}
				f.Admit(o)
				l, err := listener(fd)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				go accept(l, func(c net.Conn) { c.Close() })
			}
			sa := &unix.SockaddrInet4{Port: opts.Port, Addr: [4]byte{127, 0, 0, 1}}
			for b.Loop() {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				if err := unix.Connect(fd, sa); err != nil {
					b.Fatal(err)
				}
				// Resets: no port is left in TIME_WAIT.
				if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
					b.Fatal(err)
				}
				unix.Close(fd)
			}
		})
	}
}

func benchmarkPort(b *testing.B) int {
	port, err := NewPrivate(nil).Take()
	if err != nil {
		b.Fatal(err)
	}
	return port
}

// BenchmarkLook is what the watch costs at each look while nothing happens.
func BenchmarkLook(b *testing.B) {
	for _, slots := range []int{4, 32, 256} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			at := anyIPv4.on(benchmarkPort(b))
			f := NewFront(FrontOptions{Port: int(at.At.Port()), classic: true})
			defer f.Close()
			f.begin.Do(func() {}) // no watch of its own
			for _, o := range owners(slots) {
				fd, err := at.join(uint32(os.Geteuid()))
				if err != nil {
					b.Fatal(err)
				}
				if err := f.Join(o, fd, 0); err != nil {
					b.Fatal(err)
				}
				f.Admit(o)
			}
			for b.Loop() {
				f.look(time.Now())
			}
		})
	}
}
