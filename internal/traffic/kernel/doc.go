// Package kernel counts by what the kernel tells everybody of TCP connections: how
// many each slot has had and has open, and their bytes, exactly; requests, as about
// as many as segments with data that came in. It stands in nobody's way, needs no
// privilege, and knows of no protocol. What clusterd itself asks one exact instance
// does not count.
//
// A connection is put down to a slot when a process of the slot is seen to have it,
// once a second. Of one that ends before, the kernel tells that it has ended; whose it
// was is asked of whoever steers.
package kernel
