package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A client that ends a body with an empty line too many, as old ones do, is
// followed on, however late its next request comes.
func TestEmptyLineAfterABody(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, serve(t, nil).instance())
	conn := r.dial(0)
	br := bufio.NewReader(conn)
	exchange(t, conn, br, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1\r\n", "POST")
	time.Sleep(3 * firstByte) // the client's pause
	exchange(t, conn, br, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	closeWrite(conn)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Fatalf("the connection ends with %v", err)
	}
	if got := r.counters[0].Totals(); got.Requests != 2 || got.Unparsed != 0 {
		t.Errorf("%+v, want two requests, and all parsed", got)
	}
}

// What a client says behind a request to leave HTTP/1.x waits for the answer,
// which tells what it is, also when the request has a body in pieces.
func TestUpgradeIsAnsweredFirst(t *testing.T) {
	const request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\n1"
	const behind = "GET / HTTP/1.1\r\n\r\n"
	r := newRig(t, 1, Options{})
	half, result := make(chan struct{}), make(chan error, 1)
	r.relay.Admit(0, script(t, func(conn net.Conn) {
		result <- func() error {
			if err := expect(conn, request); err != nil {
				return err
			}
			close(half)
			if err := expect(conn, "2"); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.New("the next bytes came before the answer")
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n"); err != nil {
				return err
			}
			return expect(conn, behind)
		}()
	}))
	conn := r.dial(0)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	select {
	case <-half:
	case err := <-result:
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "2"+behind); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if got := r.counters[0].Totals(); got.Requests != 1 || got.Unparsed != 0 {
		t.Errorf("%+v, want the upgrade counted and nothing unparsed", got)
	}
}

// expect reads what must come next.
func expect(conn net.Conn, want string) error {
	b := make([]byte, len(want))
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	if string(b) != want {
		return errors.New("heard " + string(b) + " instead of " + want)
	}
	return nil
}

// A head that comes byte by byte has no more time than one that stalls.
func TestDrippingHead(t *testing.T) {
	for _, method := range []string{"GET", "PROPFIND"} {
		r := newRig(t, 1, Options{Limits: Limits{Head: 300 * time.Millisecond}})
		r.relay.Admit(0, script(t, func(net.Conn) {}))
		conn := r.dial(0)
		if _, err := io.WriteString(conn, method+" / HTTP/1.1\r\nHost: a\r\nX: "); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the "+method+" is given up", func() bool {
			time.Sleep(20 * time.Millisecond) // between two drops
			_, err := io.WriteString(conn, "x")
			return err != nil
		})
		if method == "GET" && r.counters[0].Totals().ConnsTotal != 0 {
			t.Error("it reached the instance")
		}
	}
}

// A client that leaves in the middle of a head, as a port scan does, reaches no
// instance, and leaves the counts exact.
func TestCutOffHead(t *testing.T) {
	for _, begun := range []string{"G", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\nGET / HT", "PROPFIND / HTTP/1.1\r\nHo"} {
		r := newRig(t, 1, Options{})
		r.relay.Admit(0, serve(t, nil).instance())
		conn := r.dial(0)
		if _, err := io.WriteString(conn, begun); err != nil {
			t.Fatal(err)
		}
		closeWrite(conn)
		if b, err := io.ReadAll(conn); len(b) != 0 || err != nil {
			t.Errorf("%q and an end is answered with %q, %v", begun, b, err)
		}
		if got := r.counters[0].Totals(); got.Unparsed != 0 || got.ConnsTotal != 0 {
			t.Errorf("%q and an end: %+v, want nothing", begun, got)
		}
	}
}

// What was asked before is answered all the same.
func TestCutOffBehindARequest(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, serve(t, nil).instance())
	conn := r.dial(0)
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"); err != nil {
		t.Fatal(err)
	}
	closeWrite(conn)
	br := bufio.NewReader(conn)
	if _, body := readResponse(t, br, "GET"); body != "GET /a 0\n" {
		t.Errorf("answered %q", body)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("the connection ends with %v", err)
	}
	if got := r.counters[0].Totals(); got.Unparsed != 0 || got.Requests != 1 {
		t.Errorf("%+v, want one request, and all parsed", got)
	}
}
