package sockdiag

import (
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever arrives, reading it ends and stays within bounds.
func FuzzMessages(f *testing.F) {
	message := func(kind uint16, body []byte) []byte {
		b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
		binary.NativeEndian.PutUint32(b, uint32(cap(b)))
		binary.NativeEndian.PutUint16(b[4:], kind)
		return append(b, body...)
	}
	f.Add(message(unix.NLMSG_DONE, nil))
	f.Add(message(unix.NLMSG_ERROR, []byte{0xff, 0xff, 0xff, 0xff}))
	f.Add(message(unix.NLMSG_ERROR, []byte{1}))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, make([]byte, messageLen+3)))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, append(make([]byte, messageLen), 5, 0, AttrV6Only, 0, 1)))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = messages(b, func(m Message) {
			if !m.Local().IsValid() || !m.Remote().IsValid() {
				t.Errorf("%x has no address", []byte(m))
			}
			m.Cookie()
			m.Info()
			m.V6Only()
		})
	})
}

// Sockets of both families are found, each once, and those of other ports are not.
func TestDump(t *testing.T) {
	var port int
	want := map[netip.AddrPort]int{}
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(host), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		at := l.Addr().(*net.TCPAddr)
		port = at.Port
		want[at.AddrPort()]++
		other, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
	}
	got := map[netip.AddrPort]int{}
	err := Dump(Query{States: Listen, Port: port}, func(m Message) { got[m.Local()]++ })
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}

	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP("::1"), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var remotes []netip.AddrPort
	q := Query{States: Established, Port: port, Extensions: 1 << (AttrInfo - 1)}
	err = Dump(q, func(m Message) {
		remotes = append(remotes, m.Remote())
		if _, ok := m.Info(); !ok {
			t.Error("the message has no struct tcp_info")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if here := conn.LocalAddr().(*net.TCPAddr).AddrPort(); !slices.Equal(remotes, []netip.AddrPort{here}) {
		t.Errorf("connected: %v, want %v", remotes, here)
	}
}
