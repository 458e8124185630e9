package control

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Answers are JSON, unless the client asks for CBOR (RFC 8949), as ours does: it
// says the same, with the same names, and takes a quarter of the time to read. A
// dashboard reads all of the cluster four times a second.
const (
	typeJSON = "application/json"
	typeCBOR = "application/cbor"
)

// wire writes times in full, as JSON does.
var wire = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		panic(err) // the options are no good
	}
	return mode
}()

// write sends v as the client of r wants it. One that went away needs no answer.
func write(w http.ResponseWriter, r *http.Request, v any) {
	if r.Header.Get("Accept") == typeCBOR {
		w.Header().Set("Content-Type", typeCBOR)
		_ = wire.NewEncoder(w).Encode(v)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	_ = json.NewEncoder(w).Encode(v)
}

// bodies are the buffers of answers that have been read: each is much like the one
// before, and large where there are many instances.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// read takes v from an answer.
func read(resp *http.Response, v any) error {
	if resp.Header.Get("Content-Type") == typeCBOR {
		body := bodies.Get().(*bytes.Buffer)
		defer bodies.Put(body)
		body.Reset()
		if _, err := body.ReadFrom(resp.Body); err != nil {
			return err
		}
		return cbor.Unmarshal(body.Bytes(), v) // which copies what it keeps
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
