// Package port owns the public addresses of apps.
//
// A Front is the public side of an app whose instances accept straight from the
// kernel: it holds a listening socket for each of their slots, so that an accept
// queue outlives the process that serves it, and steers new connections to those
// that are live. An Adoption puts the sockets of unmodified instances there, by
// deciding their bind and listen calls. A Group is the public side of an app
// behind the relay, and Private hands out the ports there. ThisMachine tells what
// of all that is allowed.
//
// A Front, a Group, a Private and an Adoption can each be handed over to the program
// that replaces this one (see package handover): Adoptions first, then Fronts, and
// after them whatever a Front gives connections to or takes them from.
//
// Front.Drain, Front.Dial and Adoption.Serve block for as long as they say.
// Looking up the holder of a taken port reads all of /proc and may take 100 ms;
// everything else is a few system calls.
package port
