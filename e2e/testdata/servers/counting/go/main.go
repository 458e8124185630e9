// Command go appends a byte to served.INSTANCE for each request, once its body has
// come. It listens on the port that its argument says, and speaks HTTP/2 without TLS,
// too.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	served, err := os.OpenFile("served."+os.Getenv("CLUSTERD_INSTANCE"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	s := &http.Server{Addr: ":" + os.Args[1], Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if _, err := served.WriteString("."); err != nil {
			log.Fatal(err)
		}
		io.WriteString(w, "hello\n")
	})
	log.Fatal(s.ListenAndServe())
}
