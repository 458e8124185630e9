package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// The PROXY protocol, version 2: a header before all that a client says, see
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLocal     = 0x20 // version 2, LOCAL: no client is behind it
	proxyClient    = 0x21 // version 2, PROXY
	proxyTCP4      = 0x11
	proxyTCP6      = 0x21
)

// LocalHeader is the PROXY protocol's header of a connection that clusterd makes
// for itself.
func LocalHeader() []byte { return append([]byte(proxySignature), proxyLocal, 0, 0, 0) }

// clientHeader is the header for a connection from a client's address to a
// public one; that of LocalHeader, if these are none of TCP.
func clientHeader(from, to net.Addr) []byte {
	src, dst := addrPortOf(from), addrPortOf(to)
	if !src.IsValid() || !dst.IsValid() {
		return LocalHeader()
	}
	family, size := byte(proxyTCP4), 4
	if !src.Addr().Is4() || !dst.Addr().Is4() {
		family, size = proxyTCP6, 16
	}
	b := append([]byte(proxySignature), proxyClient, family)
	b = binary.BigEndian.AppendUint16(b, uint16(2*size+4))
	for _, a := range []netip.Addr{src.Addr(), dst.Addr()} {
		if size == 4 {
			b = append(b, a.AsSlice()...)
		} else {
			b16 := a.As16()
			b = append(b, b16[:]...)
		}
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}

// addrPortOf is a TCP address, without zone, and as IPv4 if it is v4-mapped; the
// zero AddrPort if it is none.
func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
