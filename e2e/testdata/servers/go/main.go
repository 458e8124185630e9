// Command go is a server on the port that its argument says, with what Go's
// http.ListenAndServe does by default: the listener is an MPTCP one.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from pid %d (%s/%s)\n", os.Getpid(), os.Getenv("CLUSTERD_APP"), os.Getenv("CLUSTERD_INSTANCE"))
	})
	log.Fatal(http.ListenAndServe(":"+os.Args[1], nil))
}
