// Package control lets other processes of the same user talk to a running
// cluster: HTTP/1.1 with JSON over a unix socket, and the client for it. The
// socket and the lock beside it stand in a folder that only its owner may enter.
package control
