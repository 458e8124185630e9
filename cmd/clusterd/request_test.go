package main

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuestionInHTTP(t *testing.T) {
	q := question{target: "web/2", path: "/a%20b?c=d", method: "PUT", data: "x", headers: []string{
		"host: example.org:80", "X-Twice: 1", "X-Twice:2", "user-agent: me", "X-Colon: a:b", "X-Empty:",
	}}
	req, err := q.request()
	if err != nil {
		t.Fatal(err)
	}
	if req.Method != "PUT" || req.URL.RequestURI() != q.path || req.Host != "example.org:80" || req.ContentLength != 1 {
		t.Errorf("%+v", req)
	}
	want := http.Header{"X-Twice": {"1", "2"}, "User-Agent": {"me"}, "X-Colon": {"a:b"}, "X-Empty": {""}}
	if diff := cmp.Diff(want, req.Header); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInQuestions(t *testing.T) {
	for _, x := range []struct {
		q    question
		want string
	}{
		{question{path: "health", method: "GET"}, `"health" is no path: it begins with /`},
		{question{path: "", method: "GET"}, `"" is no path: it begins with /`},
		{question{path: "/", method: "GET", headers: []string{"Accept"}}, `"Accept" is no header, such as 'Accept: text/plain'`},
		{question{path: "/", method: "GET", headers: []string{": x"}}, `": x" is no header, such as 'Accept: text/plain'`},
		{question{path: "/", method: "G T"}, `net/http: invalid method "G T"`},
	} {
		if _, err := x.q.request(); err == nil || err.Error() != x.want {
			t.Errorf("%+v: %v, want %s", x.q, err, x.want)
		}
	}
}
