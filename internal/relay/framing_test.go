package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// framingCase is one of testdata, written from RFC 9110 and 9112 and the known
// families of request smuggling. What is said is one byte for each character, up to
// U+00FF.
type framingCase struct {
	Family, Name, Rule string
	To                 []string // of responses: the requests
	Say                string
	Requests           int // that the relay counts
	Responses          int
	Then               readingState
}

func (c framingCase) bytes() (b []byte) {
	for _, r := range c.Say {
		b = append(b, byte(r))
	}
	return b
}

func framingCases(t testing.TB, file string) (cases []framingCase) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(b, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases of %s: %v", len(cases), file, err)
	}
	return cases
}

// What may be read in more than one way is not followed, and all else is, to the
// byte that net/http finds.
func TestFramingOfRequests(t *testing.T) {
	for _, c := range framingCases(t, "requests.json") {
		t.Run(c.Family+"/"+c.Name, func(t *testing.T) {
			data := c.bytes()
			for _, got := range []*requestReader{readRequestsOf(data), readRequestsOf(byteByByte(data)...)} {
				if len(got.Ends) != c.Requests || got.State != c.Then {
					t.Errorf("%q, %s: %d requests, then %s; want %d, then %s", data, c.Rule, len(got.Ends), got.State, c.Requests, c.Then)
				}
				from := 0
				for i, end := range got.Ends {
					if err := sameRequest(data[from:], end-from, got.heads[i]); err != nil {
						t.Errorf("request %d, %q: %v", i, data[from:end], err)
					}
					from = end
				}
			}
		})
	}
}

func TestFramingOfResponses(t *testing.T) {
	for _, c := range framingCases(t, "responses.json") {
		t.Run(c.Family+"/"+c.Name, func(t *testing.T) {
			var to []request
			for _, asked := range c.To {
				name, upgrade, _ := strings.Cut(asked, " ")
				to = append(to, request{method: methodOf([]byte(name)), upgrade: upgrade != "" || name == "CONNECT"})
			}
			data := c.bytes()
			whole, small := readResponsesOf(to, data), readResponsesOf(to, byteByByte(data)...)
			for _, got := range []*responseReader{whole, small} {
				state := got.State
				if state == asksToGo {
					state = cannot // what follows is none of HTTP/1.x
				}
				if len(got.Ends) != c.Responses || state != c.Then {
					t.Errorf("%q, %s: %d responses, then %s; want %d, then %s", data, c.Rule, len(got.Ends), got.State, c.Responses, c.Then)
				}
			}
			from := 0
			for i, end := range small.Ends {
				if err := sameResponse(data[from:], end-from, to[i]); err != nil {
					t.Errorf("response %d, %q: %v", i, data[from:end], err)
				}
				from = end
			}
		})
	}
}

// reader is a server that answers each request with a line about it: method,
// target, and the body's length and bytes. It closes what its client has ended.
type reader struct {
	name, addr string
}

func goReader(t *testing.T) reader {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header()["Date"] = nil
		fmt.Fprintf(w, "%s %s %d %x\n", r.Method, r.RequestURI, len(b), b)
	}))
	s.ErrorLog = log.New(io.Discard, "", 0)
	return reader{"net/http", s.addr}
}

const nodeProgram = `
const s = require("http").createServer((req, res) => {
	const parts = [];
	req.on("data", (b) => parts.push(b));
	req.on("end", () => {
		const b = Buffer.concat(parts);
		res.sendDate = false;
		res.end(req.method + " " + req.url + " " + b.length + " " + b.toString("hex") + "\n");
	});
});
s.on("connect", (req, socket) => socket.end("HTTP/1.1 501 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
s.listen(0, "127.0.0.1", () => console.log(s.address().port));
process.stdin.resume().on("end", () => process.exit());`

func nodeReader(t *testing.T) reader {
	cmd := exec.Command("node", "-e", nodeProgram)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, NOT TESTED: ", err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return reader{"node", "127.0.0.1:" + strings.TrimSpace(port)}
}

// Whole conversations with net/http's and Node's servers: what they answer is
// the same through the relay, and of the requests that are counted each was served
// as the relay has read it.
func TestServersReadAlike(t *testing.T) {
	for _, make := range []func(*testing.T) reader{goReader, nodeReader} {
		server := make(t)
		t.Run(server.name, func(t *testing.T) {
			for _, c := range framingCases(t, "requests.json") {
				t.Run(c.Family+"/"+c.Name, func(t *testing.T) {
					t.Parallel()
					server.check(t, c)
				})
			}
		})
	}
}

var dateLine = regexp.MustCompile(`(?m)^Date: [^\r]*`)

// undated is an answer without the second in which it was given.
func undated(b []byte) []byte { return dateLine.ReplaceAll(b, []byte("Date: ")) }

func (server reader) check(t *testing.T, c framingCase) {
	data := c.bytes()
	directly, err1 := converse(server.addr, data)
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, Instance{Network: "tcp", Address: server.addr})
	relayed, err2 := converse(r.addrs[0], data)
	directly, relayed = undated(directly), undated(relayed)
	// A server that closes the connection with bytes unread may destroy what it
	// has said. The beginning of a head and nothing more never reaches it.
	n := min(len(directly), len(relayed))
	if !bytes.Equal(directly[:n], relayed[:n]) || (n < max(len(directly), len(relayed)) && err1 == nil && err2 == nil && c.Then != inHead) {
		t.Errorf("%q is answered with %q (%v), and through the relay with %q (%v)", data, directly, err1, relayed, err2)
	}
	eventually(t, "the connection ends", func() bool {
		got := r.counters[0].Totals()
		return got.ConnsOpen == 0 && (got.ConnsTotal > 0 || c.Then == inHead)
	})
	got := r.counters[0].Totals()
	if opaque := c.Then == cannot; (got.Unparsed > 0) != opaque && c.Then != asksToGo {
		t.Errorf("unparsed: %d, want that: %v", got.Unparsed, opaque)
	}
	read, methods := requestsIn(t, data)
	served, refused := answersIn(relayed, methods)
	if !refused && err2 == nil && c.Then != asksToGo && got.Unparsed == 0 && int(got.Requests) != len(served) {
		t.Errorf("%d requests are counted, and %d were served: %q", got.Requests, len(served), relayed)
	}
	// As far as the server has not refused, it has read what the relay has.
	for i, read := range read[:min(c.Requests, len(served))] {
		if served[i] != read && served[i] != "" && read != "" {
			t.Errorf("request %d is read as %q by %s, and as %q by the relay", i, served[i], server.name, read)
		}
	}
	if c.Then == cannot && len(served) < c.Requests && !refused && err2 == nil {
		t.Errorf("%d requests were served, and %d counted", len(served), c.Requests)
	}
}

// converse says data and then no more, and returns all that is answered.
func converse(addr string, data []byte) ([]byte, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write(data); err != nil {
		return nil, err
	}
	closeWrite(c)
	b, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // it is no reset: the difference is to be seen
	}
	return b, err
}

// answersIn are the lines of a reader's answers to requests of such methods, ""
// for one without a body, and whether an error came behind them.
func answersIn(b []byte, methods []string) (lines []string, refused bool) {
	br := bufio.NewReader(bytes.NewReader(b))
	for {
		to := &http.Request{Method: "GET"}
		if len(lines) < len(methods) {
			to.Method = methods[len(lines)]
		}
		resp, err := http.ReadResponse(br, to)
		if err != nil {
			return lines, false
		}
		if resp.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return lines, true
		}
		lines = append(lines, strings.TrimSpace(string(body)))
	}
}

// requestsIn is what a reader would say of the requests that the relay finds, ""
// where that cannot be told, and their methods.
func requestsIn(t *testing.T, data []byte) (lines, methods []string) {
	from := 0
	for _, end := range readRequestsOf(data).Ends {
		message := data[from:end]
		from = end
		message = message[emptyLines(message):]
		line, rest, _ := bytes.Cut(message, []byte("\r\n"))
		words := strings.Split(string(line), " ")
		methods = append(methods, words[0])
		// net/http is asked for the body alone: the target may be too odd for it.
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(slices.Concat([]byte("POST / "+words[2]+"\r\n"), rest))))
		var body []byte
		if err == nil {
			body, err = io.ReadAll(req.Body)
		}
		if err != nil {
			if !stricter(err) {
				t.Errorf("%q: %v", message, err)
			}
			lines = append(lines, "")
			continue
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %d %x", words[0], words[1], len(body), body)))
	}
	return lines, methods
}
