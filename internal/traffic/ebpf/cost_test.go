package ebpf

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkFilter measures what a packet costs in the filter, by the kernel's
// own clock: ns/packet is of all packets, acknowledgements included, ns/op of a
// whole exchange.
func BenchmarkFilter(b *testing.B) {
	short := "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
	browser := "GET /some/page?with=query HTTP/1.1\r\nHost: example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Accept-Language: en-US,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nCookie: " + strings.Repeat("name=value; ", 75) + "\r\n\r\n"
	for _, bb := range []struct {
		name  string
		bytes string
		heads int
	}{
		{"short", short, 1},
		{"browser", browser, 1},
		{"pipelined16", strings.Repeat(short, 16), 16},
		{"body64k", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536), 1},
		{"chunked64k", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 16) + "0\r\n\r\n", 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := newCounter(b, 1)
			entry, err := newEntry(c.jump, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer entry.Close()
			ln := plainListener(b, "tcp", "127.0.0.1:0")
			control(b, ln, func(fd int) error {
				return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, entry.FD())
			})
			s := serve(b, ln)
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			answer := bufio.NewReader(conn)
			stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
			if err != nil {
				b.Skip("the kernel's clock needs CAP_SYS_ADMIN: ", err)
			}
			defer stats.Close()
			for b.Loop() {
				if _, err := io.WriteString(conn, bb.bytes); err != nil {
					b.Fatal(err)
				}
				for range bb.heads {
					if _, err := answer.ReadSlice('\n'); err != nil {
						b.Fatal(err)
					}
					for answer.Buffered() > 0 {
						line, err := answer.ReadSlice('\n')
						if err != nil || len(line) == 2 {
							break
						}
					}
					if _, err := answer.Discard(64); err != nil {
						b.Fatal(err)
					}
				}
			}
			ran, err := entry.Stats()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(ran.Runtime.Nanoseconds())/float64(ran.RunCount), "ns/packet")
			b.ReportMetric(float64(ran.Runtime.Nanoseconds())/float64(b.N), "filter-ns/op")
			b.ReportMetric(float64(ran.RunCount)/float64(b.N), "packets/op")
		})
	}
}

// BenchmarkRead reads 1,000 slots, as is done once a second.
func BenchmarkRead(b *testing.B) {
	c := newCounter(b, 1000)
	for b.Loop() {
		for slot := range 1000 {
			read(b, c, slot)
		}
	}
}

// BenchmarkAttach attaches a slot to a socket.
func BenchmarkAttach(b *testing.B) {
	c := newCounter(b, 1)
	ln := plainListener(b, "tcp", "127.0.0.1:0")
	for b.Loop() {
		control(b, ln, func(fd int) error { return c.Attach(0, fd) })
	}
}

// BenchmarkNew loads the programs.
func BenchmarkNew(b *testing.B) {
	newCounter(b, 1)
	for b.Loop() {
		c, err := New(100)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
