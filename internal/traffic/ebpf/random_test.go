package ebpf

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Whole conversations made up at random, and cut at random, are counted as
// net/http serves them.
func TestRandomConversations(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	c := newCounter(t, 1)
	s := serve(t, listen(t, c, 0, "tcp", "127.0.0.1:0"))
	var wg sync.WaitGroup
	for worker := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, worker))
			for range 30 {
				var bytes strings.Builder
				requests := 1 + r.IntN(20)
				for range requests {
					writeRequest(&bytes, r)
				}
				if err := ask(s.addr, bytes.String(), requests, r); err != nil {
					t.Errorf("%v\n%q", err, bytes.String())
					return
				}
			}
		})
	}
	wg.Wait()
	got := read(t, c, 0)
	if got.Requests != s.served.Load() || got.ConnsTotal != s.conns.Load() || got.Unparsed != 0 || got.Resynced != 0 {
		t.Errorf("counted %+v, served %d on %d connections", got, s.served.Load(), s.conns.Load())
	}
}

// When one byte of a conversation is changed, net/http serves no more than is
// counted, unless the connection is said to be unparsed.
func TestDamagedConversations(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const conversations = 150
	c := newCounter(t, conversations)
	for slot := range conversations {
		var bytes strings.Builder
		for range 4 {
			writeRequest(&bytes, r)
		}
		damaged := []byte(bytes.String())
		damaged[r.IntN(len(damaged))] = "\x00\t\n\r :;,0a\xff"[r.IntN(11)]
		ln := listen(t, c, slot, "tcp", "127.0.0.1:0")
		s := serve(t, ln)
		tell(s.addr, string(damaged), r)
		got := read(t, c, slot)
		if got.Unparsed == 0 && got.Requests < s.served.Load() {
			t.Errorf("counted %+v, served %d\n%q", got, s.served.Load(), damaged)
		}
	}
}

// ask sends a conversation and waits for its answers.
func ask(addr, bytes string, requests int, r *rand.Rand) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- send(conn, bytes, r) }()
	answers := bufio.NewReader(conn)
	for i := range requests {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return fmt.Errorf("answer %d of %d: %w", i, requests, err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("answer %d of %d: %s", i, requests, resp.Status)
		}
	}
	return <-sent
}

// tell sends a conversation and waits until the server has closed it.
func tell(addr, bytes string, r *rand.Rand) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer conn.Close()
	sending.Go(func() {
		send(conn, bytes, r)
		conn.(*net.TCPConn).CloseWrite()
	})
	io.Copy(io.Discard, conn)
}

// send writes bytes in pieces of random size.
func send(conn net.Conn, bytes string, r *rand.Rand) error {
	most := []int{1, 5, 40, 2000, len(bytes)}[r.IntN(5)]
	for len(bytes) > 0 {
		n := min(1+r.IntN(most), len(bytes))
		if _, err := io.WriteString(conn, bytes[:n]); err != nil {
			return err
		}
		bytes = bytes[n:]
	}
	return nil
}

// writeRequest writes a request that net/http serves and that leaves the
// connection open.
func writeRequest(b *strings.Builder, r *rand.Rand) {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	spell := func(name string) string { return pick(name, strings.ToLower(name), strings.ToUpper(name)) }
	fmt.Fprintf(b, "%s %s HTTP/1.1\r\n", pick("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "X-ODD"),
		pick("/", "/a/b?c=d", "http://a/b", "/"+strings.Repeat("p", r.IntN(400))))
	fmt.Fprintf(b, "%s: a\r\n", spell("Host"))
	noise := func() {
		for range r.IntN(6) {
			fmt.Fprintf(b, "%s:%s%s\r\n", pick("Accept", "Cookie", "Content-Type", "Content-Lengt", "Transfer-Encoding-X", "Te", "Upgrade-Insecure-Requests", "C"),
				pick("", " ", "\t"), strings.Repeat(pick("a", "b c", "chunked", "9"), r.IntN(40)))
		}
	}
	noise()
	switch body := strings.Repeat(pick("x", "\r\n", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n"), r.IntN(200)); r.IntN(3) {
	case 0:
		b.WriteString("\r\n")
	case 1:
		fmt.Fprintf(b, "%s:%s%d%s\r\n", spell("Content-Length"), pick("", " ", "\t "), len(body), pick("", " "))
		noise()
		b.WriteString("\r\n" + body)
	case 2:
		fmt.Fprintf(b, "%s:%s%s\r\n", spell("Transfer-Encoding"), pick("", " "), spell("chunked"))
		noise()
		b.WriteString("\r\n")
		for len(body) > 0 {
			n := min(1+r.IntN(300), len(body))
			fmt.Fprintf(b, pick("%x", "%X", "0%x")+"%s\r\n%s\r\n", n, pick("", ";a", ";b=\"c;d\"", " "), body[:n])
			body = body[n:]
		}
		b.WriteString(pick("0", "00", "0;x=y") + "\r\n" + pick("", "X-Trailer: y\r\n", "Content-Length: 3\r\n") + "\r\n")
	}
}
