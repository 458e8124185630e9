// Package port owns the public addresses of apps: the group of SO_REUSEPORT
// listening sockets that share one address, one slot's socket each, held open
// by clusterd so that an accept queue outlives the process that serves it; the
// private ports of instances behind the relay; and the question of who listens
// where.
//
// Nothing here blocks on the network. Looking up the holder of a taken port
// reads all of /proc and may take 100 ms; everything else is a few system
// calls.
package port
