// Package relay passes connections from an app's public sockets on to its
// instances, and counts what they carry.
//
// One client connection is paired with one instance connection and the bytes
// pass unchanged, so the relay adds no reading of HTTP of its own between the
// two: it only follows the framing of HTTP/1.x (RFC 9112) far enough to know
// where messages begin and end. That tells it which requests were answered,
// with which status and how fast, and where a connection may leave an instance
// that is to be stopped. What it cannot follow for certain (TLS, HTTP/2,
// other protocols, ambiguous framing) it passes on blindly and says so, unless
// Options.Strict refuses it. Options.Forwarded and ProxyProtocol add whom requests
// come from; else not a byte changes.
//
// A pair has two goroutines, one for each direction, or none: while client and
// instance talk plainly, a poller goes on with it (park.go). A connection without
// traffic holds no buffer.
package relay
