// Where most connections are. A seat is for those whose addresses and ports come to
// its number, one at a time, and found without a search; who finds it taken goes to
// conns. The ports that one host gives to clients have different seats: on Linux, as a
// rule, the even ones of 28,232. Included once, by requests.c.

#define SEATS 16384
#define LONG (900LL << 30) // ns, a quarter of an hour: the seat is taken from who asks nothing

// What seat.use may be besides what an open connection is called.
enum use {
	EMPTY,
	BEGUN, // by a SYN
	OPEN,  // it, or more: the connection before was called something else
};

// seat has a connection and, while use is not EMPTY, its name. A CPU fetches lines of the
// cache in pairs (Intel's Optimization Reference Manual, "spatial prefetcher"): the first
// pair is the client's side, the second the server's, with room left.
struct seat {
	struct key key;
	__u32 use;
	struct conn conn;
	__s64 sent_at; // when something was last sent to it, if that is watched
	__u64 room[7];
};

_Static_assert(__builtin_offsetof(struct seat, conn.in) == 64, "what both sides need is a line");
_Static_assert(__builtin_offsetof(struct seat, conn.out) == 128, "the client's side is a pair of lines");
_Static_assert(sizeof(struct seat) == 256, "the server's side is a pair of lines");

// seats are mappable because of where they are then: the kernel begins them at a page,
// and so each with a line of the cache.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct seat);
	__uint(max_entries, SEATS);
} seats SEC(".maps");

// mix is a number for a connection, to spread such numbers, but for the client's port.
static __always_inline __u32 mix(const struct key *k)
{
	__u32 sum = k->ports >> 16;

#pragma unroll
	for (int i = 0; i < 8; i++)
		sum ^= k->addrs[i];
	return sum * 0x9e3779b1; // the golden ratio's: Knuth, The Art of Computer Programming 3, 6.4
}

static __always_inline struct seat *seat_of(const struct key *k)
{
	__u32 port = bpf_ntohs(k->ports), at = (port >> 1 ^ port << 13 ^ mix(k) >> 18) % SEATS;

	return bpf_map_lookup_elem(&seats, &at);
}

static __always_inline int same(const struct key *a, const struct key *b)
{
	__u32 differ = a->ports ^ b->ports;

#pragma unroll
	for (int i = 0; i < 8; i++)
		differ |= a->addrs[i] ^ b->addrs[i];
	return !differ;
}

// called returns what the open connection in a seat is called if k names it, or 0.
static __always_inline __u32 called(const struct seat *s, const struct key *k)
{
	__u32 use = *(volatile const __u32 *)&s->use;

	return use >= OPEN && same(&s->key, k) ? use : 0;
}

// begin makes a connection, of which next is the first byte.
static __always_inline void begin(struct conn *conn, __u32 slot, __u32 next, int lost)
{
	conn->slot = slot;
	conn->counted = 0;
	conn->asked_at = bpf_ktime_get_coarse_ns();
	conn->in = (struct side){ .next = next, .lost = lost };
	conn->parked = next;
	conn->accepted = 0;
	conn->waiting = 0;
}

// idle tells whether an open connection may lose its seat: it has ended, as far as can be
// told, or for long nothing was asked, nor anything sent that somebody might be reading now.
// What waits in parked does so by the number of the seat.
static __always_inline int idle(const struct seat *s)
{
	__s64 now = bpf_ktime_get_ns();

	if ((__s32)(s->conn.parked - s->conn.in.next) > 0)
		return 0;
	return !s->conn.asked_at || (now - (__s64)s->conn.asked_at >= LONG && now - s->sent_at >= LONG);
}

// vacate gets whoever has a seat that is held to conns or syns, if a newcomer comes
// before them: who is idle, or has not done the handshake.
static __always_inline int vacate(struct seat *s)
{
	struct conn *moved;

	if (s->use == BEGUN) {
		bpf_map_update_elem(&syns, &s->key, &s->conn.in.next, BPF_ANY);
		bpf_map_delete_elem(&conns, &s->key); // whoever had these ports before
	} else if (s->use != EMPTY) {
		if (!idle(s))
			return 0;
		bpf_map_update_elem(&conns, &s->key, &s->conn, BPF_ANY);
		moved = bpf_map_lookup_elem(&conns, &s->key);
		if (moved) {
			moved->of = moved->of == s->use ? OPEN : 0;
			__sync_lock_test_and_set(&moved->lock, 0);
		}
	}
	s->use = EMPTY;
	return 1;
}

// acknowledged tells whether a packet says that the client has all that was sent, the end
// included. Where that is not watched, it is taken for granted.
static __always_inline int acknowledged(const struct seat *s, const struct arrival *p)
{
	return s->conn.of != s->use || bpf_ntohl(p->tcp.ack_seq) == s->conn.out.next + 1;
}

// leave gives up a seat with a packet to the connection's own socket, which has been read,
// if it is the last of it that matters: both sides are done, and the client has all. If
// that cannot be told, it lets others have the seat: a process that has closed a
// connection does not get, nor does the filter, what a client says when it ends its side.
static __always_inline void leave(struct run *x, struct seat *s, const struct arrival *p)
{
	struct conn *conn = &s->conn;

	if (p->tcp.rst) {
		if (x->seq == conn->in.next)
			conn->asked_at = 0;
	} else if (p->state == BPF_TCP_FIN_WAIT1 || p->state == BPF_TCP_FIN_WAIT2) {
		if (p->state == BPF_TCP_FIN_WAIT1 && !acknowledged(s, p))
			return;
		if (p->tcp.fin && conn->in.next == p->end)
			s->use = EMPTY;
		else if (p->bare)
			conn->asked_at = 0;
	} else if ((p->state == BPF_TCP_CLOSING || p->state == BPF_TCP_LAST_ACK) && acknowledged(s, p)) {
		s->use = EMPTY;
	}
}
