package ebpf

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// What is taken out of the counts is all of one connection and nothing else.
func TestDisown(t *testing.T) {
	for _, x := range []struct{ network, listen, dial string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"tcp", "[::]:0", "127.0.0.1"},
		{"tcp", "[::]:0", "::1"},
	} {
		t.Run(x.listen+" "+x.dial, func(t *testing.T) {
			c := newCounter(t, 2)
			ln := listen(t, c, 1, x.network, x.listen)
			address := net.JoinHostPort(x.dial, fmt.Sprint(ln.Addr().(*net.TCPAddr).Port))
			open := func(sends string) (client, server *net.TCPConn) {
				t.Helper()
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				if _, err := io.WriteString(conn, sends); err != nil {
					t.Fatal(err)
				}
				server, err = ln.AcceptTCP()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { server.Close() })
				if _, err := io.ReadFull(server, make([]byte, len(sends))); err != nil {
					t.Fatal(err)
				}
				return conn.(*net.TCPConn), server
			}
			expect := func(conns, requests, unparsed uint64) {
				t.Helper()
				if n := read(t, c, 1); n.ConnsTotal != conns || n.Requests != requests || n.Unparsed != unparsed {
					t.Errorf("%+v, want %d connections, %d requests, %d unparsed", n, conns, requests, unparsed)
				}
			}
			open(get)
			client, served := open(get + get)
			_, strange := open("\x16\x03\x01 something else\n")
			expect(3, 3, 1)
			for _, conn := range []*net.TCPConn{served, strange} {
				disown(t, c, 1, conn)
				disown(t, c, 1, conn) // nothing more
			}
			expect(1, 1, 0)
			if _, err := io.WriteString(client, get); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(served, make([]byte, len(get))); err != nil {
				t.Fatal(err)
			}
			expect(1, 1, 0)
		})
	}
}

func disown(t *testing.T, c *Counter, slot int, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = c.Disown(slot, int(fd)) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// A connection can be taken out of the counts while its requests are being read.
func TestDisownWhileReading(t *testing.T) {
	const tries = 50
	for name, sends := range map[string]string{
		"requests": strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 10000),
		"streams":  h2Preface + h2Requests(20000),
		"unparsed": "\x16\x03\x01 something else\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounter(t, 1)
			ln := listen(t, c, 0, "tcp4", "127.0.0.1:0")
			for range tries {
				conn, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				served, err := ln.AcceptTCP()
				if err != nil {
					t.Fatal(err)
				}
				sent := make(chan error)
				go func() {
					_, err := io.WriteString(conn, sends)
					sent <- err
				}()
				if _, err := io.ReadFull(served, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				disown(t, c, 0, served)
				if _, err := io.CopyN(io.Discard, served, int64(len(sends)-1)); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				conn.Close()
				served.Close()
			}
			if n := read(t, c, 0); n.ConnsTotal != 0 || n.Requests != 0 || n.Unparsed != 0 || n.Resynced != 0 {
				t.Errorf("%+v is left of %d connections", n, tries)
			}
		})
	}
}

const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// h2Requests are HEADERS frames that open n streams.
func h2Requests(n uint32) string {
	var out []byte
	for i := range n {
		out = append(out, 0, 0, 1, 1, 5)
		out = binary.BigEndian.AppendUint32(out, 2*i+1)
		out = append(out, 0x82)
	}
	return string(out)
}
