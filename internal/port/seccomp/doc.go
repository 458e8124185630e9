// Package seccomp lets one process answer system calls of another: of all the
// calls of a tree of processes, those to bind(2) and listen(2), and if so wished
// some to setsockopt(2), wait until the holder of a Listener has decided what
// becomes of them (seccomp_unotify(2), Linux 5.9).
//
// Filter is for the process that is about to become the root of the tree (package
// shim), and everything else for its supervisor. What a call points to may change while it
// is looked at, and the caller may die and its number become somebody else's:
// what was read holds only if Call.Valid says so afterwards.
package seccomp
