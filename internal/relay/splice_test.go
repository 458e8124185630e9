package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
)

// Large bodies pass unchanged both ways, within the kernel or, where there are no
// pipes for that, copied, and the connection goes on behind them.
func TestLargeBodies(t *testing.T) {
	data := make([]byte, 5<<20+12345)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	for _, spliced := range []bool{true, false} {
		t.Run(fmt.Sprintf("spliced %v", spliced), func(t *testing.T) {
			if !spliced {
				var taken []*pipe
				for p := takePipe(); p != nil; p = takePipe() {
					taken = append(taken, p)
				}
				defer func() {
					for _, p := range taken {
						p.give(true)
					}
				}()
			}
			r := newRig(t, 1, Options{})
			r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(b, data) {
					t.Errorf("the instance got %d bytes of %d, %v", len(b), len(data), err)
				}
				if r.ContentLength > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				}
				w.Write(data)
			})).instance())
			c := r.dial(0)
			br := bufio.NewReader(c)
			for i, head := range []string{
				fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)),
				fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(data)),
				fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)),
			} {
				go func() {
					io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+head)
					c.Write(data)
					if i == 1 {
						io.WriteString(c, "\r\n0\r\n\r\n")
					}
				}()
				if _, body := readResponse(t, br, "POST"); body != string(data) {
					t.Errorf("the client got %d bytes of %d", len(body), len(data))
				}
				if got := r.counters[0].Totals(); got.Requests != uint64(i+1) || got.Unparsed != 0 {
					t.Errorf("%+v", got)
				}
			}
			got := r.counters[0].Totals()
			if least := uint64(3 * len(data)); got.BytesIn < least || got.BytesOut < least || got.BytesIn > least+1000 || got.BytesOut > least+20_000 {
				t.Errorf("%d bytes in, %d out, of %d", got.BytesIn, got.BytesOut, least)
			}
		})
	}
	pipes.Lock()
	defer pipes.Unlock()
	if len(pipes.idle) != pipes.made || pipes.made == 0 {
		t.Errorf("%d of %d pipes are idle", len(pipes.idle), pipes.made)
	}
}

// A client that leaves in the middle costs no pipe.
func TestLargeBodyCutOff(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(64<<20))
		w.Write(make([]byte, 64<<20))
	})).instance())
	c := r.dial(0)
	io.WriteString(c, getRequest)
	if _, err := io.CopyN(io.Discard, c, 3<<20); err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.ends()
	pipes.Lock()
	defer pipes.Unlock()
	if len(pipes.idle) != pipes.made {
		t.Errorf("%d of %d pipes are idle", len(pipes.idle), pipes.made)
	}
}
