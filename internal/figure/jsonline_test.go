package figure

import "testing"

func TestJSONLine(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"level":"info","msg":"listening","port":8080}`, "INFO listening  port=8080"},
		{`{"time":"2026-01-02T03:04:05Z","level":"WARN","message":"slow","took":"1.5s","path":"/a b"}`, `WARN slow  took=1.5s path="/a b"`},
		{`{"level":50,"time":1,"pid":7,"hostname":"x","msg":"no"}`, "ERROR no  pid=7 hostname=x"},
		{`{"msg":"big","n":12345678901234567890,"deep":{"a": [1, null]},"none":null}`, `big  n=12345678901234567890 deep={"a":[1,null]} none=null`},
		{`{"msg":"two\nlines \u001b[31m","x":"\u001b"}`, `two\nlines \x1b[31m  x="\x1b"`},
		{`{"msg":"names, too","\u001b]52;c;eA==\u0007":1,"a\nb":2}`, `names, too  \x1b]52;c;eA==\a=1 a\nb=2`},
		{`{"severity":"INFO","message":{"a":1}}`, `INFO {"a":1}`},
	} {
		if got, ok := JSONLine(tt.text); !ok || got != tt.want {
			t.Errorf("%s\n%s, want\n%s", tt.text, got, tt.want)
		}
	}
	for _, text := range []string{"", "{", "{}", "x", `{"a":1}`, `{"msg":""}`, `{"msg":"a"} {"msg":"b"}`, `{"msg":"a",}`, `["msg"]`, `{"msg":"a"}x`} {
		if got, ok := JSONLine(text); ok || got != text {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}
