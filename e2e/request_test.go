package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// eachNew makes a connection of its own for every request.
var eachNew = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   deadline,
}

// get requests a path of the server on a public port, on a new connection.
func get(port int, path string) (body string, err error) { return getBy(eachNew, port, path) }

func getBy(client *http.Client, port int, path string) (body string, err error) {
	return getURL(client, fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
}

// getFrom requests the root of the server at an address, on a new connection.
func getFrom(address string) (body string, err error) {
	return getURL(eachNew, "http://"+address+"/")
}

func getURL(client *http.Client, url string) (body string, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}

// mustGet is get of what has to be answered.
func mustGet(t testing.TB, port int, path string) string {
	t.Helper()
	body, err := get(port, path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// servedBy makes n requests and counts whom they were answered by: the first
// word of each body.
func servedBy(t testing.TB, port, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		who, _, _ := strings.Cut(mustGet(t, port, "/"), " ")
		out[who]++
	}
	return out
}

// answer is what a request under way comes to.
type answer struct {
	body string
	err  error
}

// begin makes a request in the background.
func begin(port int, path string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		body, err := get(port, path)
		c <- answer{body, err}
	}()
	return c
}

// receive waits for the answer.
func receive(t testing.TB, c <-chan answer) answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(deadline):
		t.Fatal("a request is neither answered nor broken off")
		return answer{}
	}
}
