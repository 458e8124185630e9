// Package shim starts processes in which something has to be done before they
// become their commands: the program that imports this package, executed again
// under another name, does it. The process keeps its PID, parent, session and
// parent-death signal.
//
// That happens in this package's initialisation, so that nobody needs to wait for
// that of all the others, which takes longer than everything else. The runtime
// initialises packages by import path, each as soon as those that it imports are
// (https://go.dev/ref/spec#Package_initialization, Go 1.21): this one imports
// little more than syscall.
package shim
