// Package traffic keeps what each slot served: exact totals, rates over the
// last seconds, and the latency of recent requests.
//
// Totals are monotonic and belong to the slot, so they go on when its process
// is replaced. Nothing here blocks for longer than a short critical section;
// counting allocates nothing after a slot's first request.
package traffic
