// What is accepted by somebody else than the slot's process. Included once, by
// requests.c.

// disowned is a connection, and the slot from whose queue it was accepted.
struct disowned {
	struct key key;
	__u32 slot;
};

// disown takes a connection out of the totals in the moment in which it marks it:
// of what another CPU is reading of it, a request is counted before that, and taken
// out, or not at all. A filter may interrupt it, which it does not do to a filter:
// so that it has to change the totals of its CPU atomically, and the filter has not.
SEC("syscall")
int disown(struct disowned *d)
{
	struct key key = d->key;
	__u32 slot = d->slot;
	struct counts *n = bpf_map_lookup_elem(&totals, &slot);
	struct seat *s = seat_of(&key);
	struct conn *conn;
	__u64 counted;

	if (s && called(s, &key))
		conn = &s->conn;
	else
		conn = bpf_map_lookup_elem(&conns, &key);
	if (!n || !conn || conn->slot != slot)
		return 0; // it was never counted, or has been forgotten
	counted = __sync_fetch_and_or(&conn->counted, DISOWNED);
	if (counted & DISOWNED)
		return 0;
	conn->asked_at = 0; // its filter, which would see its end, is detached next
	__sync_fetch_and_add(&n->conns, -1ULL);
	__sync_fetch_and_add(&n->requests, -(counted & REQUESTS));
	__sync_fetch_and_add(&n->unparsed, counted & UNPARSED ? -1ULL : 0);
	return 0;
}
