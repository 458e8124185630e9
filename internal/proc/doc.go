// Package proc is the supervisor: it starts the instances of every app of a
// cluster, keeps them running as their config says, and stops them so that
// nothing is left behind.
//
// One goroutine, the event loop of Cluster.Run, owns every lifecycle. Facts
// reach it as messages (a process ended, an instance listens, a timer fired,
// someone asked for a restart); work that may block (fork, probes, waiting for
// a process group to die) happens in goroutines that report back the same way.
// Readers get an immutable Snapshot and never hold anything up.
package proc
