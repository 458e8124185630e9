//go:build ignore

// A socket filter that counts what clients send to the slots of clusterd. It is
// attached to listening sockets, and inherited by what is accepted from them.
// It lets every packet pass, whole.
//
// A filter sees packets before TCP has put them in order (net/ipv4/tcp_ipv4.c,
// tcp_filter), its data begin with the TCP header, and skb->sk is the listening
// socket until the handshake is done. Needs Linux 5.17 (bpf_loop) and CAP_BPF.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "conn.h"

#define PASS 0xffffffff // more than any packet has: nothing is cut off

#define MAX_STEPS (1 << 20)      // several for each byte of the longest packet
#define MAX_SPINS (1 << 23)      // 50 ms or more: a hypervisor may stop the CPU that holds
#define MAX_PARKED (256 << 10)   // bytes of one connection that wait
#define MAX_WAITING 250          // packets of one connection that wait

#define MARK_NET 0x7f4d0000 // 127.77.0.0/16
#define MARK_HOPS 200       // of ::1: hop limits from here on
#define HOP_MARKS 55        // so many

// ordered is set where other CPUs see one's stores in their order, as on amd64: a lock is
// given up without waiting for them then.
const volatile __u32 ordered = 0;

char LICENSE[] SEC("license") = "Dual MIT/GPL";

// key names a connection by its addresses and ports, as they are on the wire.
struct key {
	__u32 addrs[8]; // the client's, then ours; of IPv4 in the first two
	__u32 ports;    // the same
};

// place names bytes that came too early.
struct place {
	__u64 id;
	__u32 seq;
	__u32 pad;
};

// totals is what is counted, by slot. Its size is set when it is made.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counts);
	__uint(max_entries, 1);
} totals SEC(".maps");

// conns has the connections that have no seat. It forgets the one that has been silent
// for the longest time when it is full; if that one speaks again, it is read on from a
// request line.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct key);
	__type(value, struct conn);
	__uint(max_entries, 65536);
} conns SEC(".maps");

// syns has the sequence numbers at which connections without a seat begin whose
// handshake is not done: neither a flood of SYNs nor packets of no connection get into conns.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct key);
	__type(value, __u32);
	__uint(max_entries, 8192);
} syns SEC(".maps");

// ports are those that slots listen at, a bit for each: what is sent from others need
// not be looked at.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1024);
} ports SEC(".maps");

// parked keeps packets that came before those ahead of them, in pieces.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct place);
	__type(value, struct piece);
	__uint(max_entries, 4096);
} parked SEC(".maps");

// readers has room for one packet on each CPU. Filters of TCP run in softirq
// only, and so one at a time.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct reader);
	__uint(max_entries, 1);
} readers SEC(".maps");

#include "latency.h"
#include "http.h"
#include "seats.h"

// window loads the bytes at off into r, as many as there are and fit.
static __always_inline int window(struct __sk_buff *skb, struct reader *r, __u32 off, __u32 end)
{
	__u32 len = end - off;

	if (len > WINDOW)
		len = WINDOW;
	if (!len || bpf_skb_load_bytes(skb, off, r->window.data, len))
		return -1;
	r->base = off;
	r->window.len = len;
	return 0;
}

// unknown reads a number of which nothing is known on any path to it.
static __always_inline __u32 unknown(__u32 *p)
{
	return *(volatile __u32 *)p;
}

// unpark goes on with bytes that came early, if those that are next are there.
static __always_inline int unpark(struct run *x)
{
	struct place at = { .id = x->r->id, .seq = x->c->next };
	struct piece *piece;

	if ((__s32)(x->conn->parked - x->c->next) <= 0)
		return 0;
	piece = bpf_map_lookup_elem(&parked, &at);
	if (!piece)
		return 0;
	x->r->window = *piece;
	x->r->off = 0;
	x->r->base = 0;
	x->r->end = x->r->window.len;
	bpf_map_delete_elem(&parked, &at);
	return 1;
}

// read_on reads on by up to STRIDE bytes, or skips what need not be read. It returns
// how far it has come; 0 if there was only a change of state.
static __always_inline __u32 read_on(struct run *x, const int reply)
{
	struct reader *r = x->r;
	struct side *c = x->c;
	__u32 rest = r->end - r->off, take, at;
	__s32 have;

	if (c->state == OPAQUE || c->state == LOST) {
		take = rest;
	} else if (c->left) {
		take = c->left < rest ? c->left : rest;
		c->left -= take;
	} else {
		have = r->base + r->window.len - r->off; // below 0 after a skip
		if (have < 8 && have < (__s32)rest) {
			window(x->skb, r, r->off, r->end); // cannot fail below end
			have = r->window.len;
		}
		at = unknown(&r->off) - unknown(&r->base);
		at &= WINDOW - 1;
		take = follow(x, r->window.data + at, have, reply);
	}
	r->off += take;
	c->next += take;
	return take;
}

static long step(__u32 i, struct run *x)
{
	if (x->r->off >= x->r->end && !unpark(x))
		return 1;
	x->n->bytes_in += read_on(x, 0);
	return 0;
}

// park keeps the next piece of a packet that came too early.
static long park(__u32 i, struct run *x)
{
	struct place at = { .id = x->r->id, .seq = x->seq };

	if (window(x->skb, x->r, x->off, x->r->end))
		return 1;
	if (bpf_map_update_elem(&parked, &at, &x->r->window, BPF_ANY))
		return 1;
	x->off += x->r->window.len;
	x->seq += x->r->window.len;
	return 0;
}

// skip_hole reads on behind bytes that have not come, if it is known what they
// are: parts of something that is skipped anyway.
static __always_inline int skip_hole(struct run *x, __u32 gap)
{
	struct side *c = x->c;

	if (c->state != OPAQUE) {
		if (c->left < gap)
			return 0;
		c->left -= gap;
	}
	c->next += gap;
	x->n->bytes_in += gap;
	return 1;
}

// wait parks the whole packet, until the hole of gap bytes before it is filled.
static __always_inline int wait(struct run *x, __u32 gap)
{
	struct side *c = x->c;
	__u32 len = x->r->end - x->r->off;

	if (c->lost || x->conn->waiting >= MAX_WAITING || gap + len > MAX_PARKED)
		return 0;
	x->off = x->r->off;
	bpf_loop(MAX_PARKED / WINDOW, park, x, 0);
	if (x->off != x->r->end)
		return 0;
	x->conn->waiting++;
	if ((__s32)(x->seq - x->conn->parked) > 0)
		x->conn->parked = x->seq;
	return 1;
}

// lose gives up bytes that were missed, and looks for a request line at the
// start of each packet from seq on. HTTP/2 has nothing to be found again by.
static __always_inline void lose(struct run *x, __u32 seq)
{
	struct side *c = x->c;

	if (!c->lost)
		x->n->resynced++;
	c->left = 0;
	x->conn->parked = seq;
	c->next = seq;
	if (c->state == MAGIC || c->state == FRAME) {
		fail(x, 0);
	} else {
		c->lost = 1;
		enter(c, START);
	}
}

// packet reads the packet in x->r, whose first byte is x->seq. It is a function of its own,
// as are at_seat and elsewhere, to have its own part of the stack: a verifier without
// CAP_PERFMON lets no number be kept where a pointer was.
static __noinline int packet(struct run *x)
{
	struct reader *r = x->r;
	struct side *c = x->c;
	__s32 gap = x->seq - c->next;

	if (gap > 0) {
		if (!skip_hole(x, gap)) {
			if (wait(x, gap))
				return 0;
			lose(x, x->seq);
		}
	} else if (-gap >= (__s64)(r->end - r->off)) {
		return 0; // seen before
	} else {
		r->off += -gap;
	}
	if (c->state == LOST)
		enter(c, START);
	if (x->conn->waiting) // no other CPU needs to know, if not
		x->conn->waiting = 0;
	r->base = r->off;
	r->window.len = 0;
	bpf_loop(MAX_STEPS, step, x, 0);
	if ((__s32)(x->conn->parked - c->next) < 0)
		x->conn->parked = c->next; // not to come before it again when numbers run over
	return 0;
}

static long acquire(__u32 i, struct run *x)
{
	x->held = __sync_lock_test_and_set(&x->conn->lock, 1) == 0;
	return x->held;
}

// hold makes x->conn ours, and fails only if another CPU does not give it up.
static __always_inline int hold(struct run *x)
{
	x->c = &x->conn->in;
	if (!acquire(0, x))
		bpf_loop(MAX_SPINS, acquire, x, 0);
	return x->held;
}

static __always_inline void release(struct run *x)
{
	asm volatile("" ::: "memory");
	if (ordered)
		*(volatile __u32 *)&x->conn->lock = 0;
	else
		__sync_lock_test_and_set(&x->conn->lock, 0);
}

static __always_inline int addresses(struct __sk_buff *skb, struct key *k)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return bpf_skb_load_bytes_relative(skb, 12, k->addrs, 8, BPF_HDR_START_NET);
	return bpf_skb_load_bytes_relative(skb, 8, k->addrs, 32, BPF_HDR_START_NET);
}

// name fills in k by the connection's own socket, which spares loading it from the packet.
// A socket of IPv6 may have packets of IPv4, and has addresses for both.
static __always_inline void name(struct __sk_buff *skb, struct bpf_sock *sk, struct key *k)
{
	k->ports = (__u32)bpf_htons(sk->src_port) << 16 | sk->dst_port;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		k->addrs[0] = sk->dst_ip4;
		k->addrs[1] = sk->src_ip4;
		return;
	}
	k->addrs[0] = sk->dst_ip6[0];
	k->addrs[1] = sk->dst_ip6[1];
	k->addrs[2] = sk->dst_ip6[2];
	k->addrs[3] = sk->dst_ip6[3];
	k->addrs[4] = sk->src_ip6[0];
	k->addrs[5] = sk->src_ip6[1];
	k->addrs[6] = sk->src_ip6[2];
	k->addrs[7] = sk->src_ip6[3];
}

// by_clusterd tells whether a client is clusterd itself, which asks one exact slot:
// by the marks of internal/port/exact.go, which no other client has.
static __always_inline int by_clusterd(struct __sk_buff *skb, struct key *k)
{
	__u8 hops;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return (k->addrs[0] & bpf_htonl(0xffff0000)) == bpf_htonl(MARK_NET);
	if (k->addrs[0] | k->addrs[1] | k->addrs[2] || k->addrs[3] != bpf_htonl(1))
		return 0;
	if (bpf_skb_load_bytes_relative(skb, 7, &hops, 1, BPF_HDR_START_NET))
		return 0;
	return hops >= MARK_HOPS && hops < MARK_HOPS + HOP_MARKS;
}

// serves notes that slots listen at a port, in host byte order.
static __always_inline void serves(__u16 port)
{
	__u32 word = port / 64;
	__u64 *bits = bpf_map_lookup_elem(&ports, &word), bit = 1ULL << port % 64;

	if (bits && !(*bits & bit))
		__sync_fetch_and_or(bits, bit);
}

// welcome makes the entry of a connection without a seat, whose handshake ends at the
// listening socket. One that its own socket knows and conns does not had been forgotten.
static __always_inline void welcome(struct run *x, struct key *key, __u32 slot, int listening)
{
	__u32 *begins = bpf_map_lookup_elem(&syns, key);
	struct conn fresh = {};

	if (!begins && listening)
		return;
	begin(&fresh, slot, begins && listening ? *begins : x->seq, !listening);
	serves(bpf_ntohs(key->ports >> 16));
	if (bpf_map_update_elem(&conns, key, &fresh, BPF_NOEXIST) == 0) {
		x->n->conns += listening;
		x->n->resynced += !listening;
	}
	if (begins) // room that has just been used is the quickest to be had again
		bpf_map_delete_elem(&syns, key);
}

// at_seat gets a connection that has its seat s, which is held, or may take it, as far as
// its packet says. It returns 0 if the connection has no seat.
static __noinline int at_seat(struct run *x, struct seat *s, struct key *key)
{
	const struct arrival *p = &x->r->packet;
	int mine = s->use != EMPTY && same(&s->key, key);

	if (p->tcp.syn && by_clusterd(x->skb, key)) {
		if (mine) // whoever had these ports before is gone
			s->use = EMPTY;
		return 0;
	}
	if (p->tcp.syn && (mine || vacate(s))) {
		s->key = *key;
		s->use = BEGUN;
		s->conn.in.next = x->seq;
		mine = 1;
		if (p->bare)
			return 1;
	}
	if (mine && s->use == BEGUN) {
		// If its own socket knows it, we have missed the end of its handshake.
		begin(&s->conn, p->slot, p->listening ? s->conn.in.next : x->seq, !p->listening);
		s->use = OPEN + ++s->conn.serial;
		x->n->conns += p->listening;
		x->n->resynced += !p->listening;
		serves(bpf_ntohs(key->ports >> 16));
	}
	return mine;
}

// elsewhere finds or makes the entry of a connection that has no seat, and returns 0 if
// there is nothing more to do with its packet.
static __noinline struct conn *elsewhere(struct run *x, struct key *key)
{
	const struct arrival *p = &x->r->packet;
	struct conn *known = bpf_map_lookup_elem(&conns, key);

	if (known && p->tcp.syn) {
		// A new connection; whoever had these ports before is gone.
		bpf_map_delete_elem(&conns, key);
		known = 0;
	}
	if (known || by_clusterd(x->skb, key))
		return known; // clusterd's packets go on to have no entry
	if (p->tcp.syn)
		bpf_map_update_elem(&syns, key, &x->seq, BPF_ANY);
	if (p->tcp.syn && p->bare)
		return 0; // but for data in a SYN (TCP Fast Open)
	welcome(x, key, p->slot, p->listening);
	if (p->bare)
		return 0; // the end of a handshake
	// Another CPU may have made it meanwhile, by the packet before. If not,
	// the packet is of no connection, or of one that has ended.
	return bpf_map_lookup_elem(&conns, key);
}

// ended_before tells whether the client had ended its side in order before a packet came:
// all that it brings has come before.
static __always_inline int ended_before(__u32 state)
{
	return state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_CLOSING || state == BPF_TCP_LAST_ACK;
}

// requests counts what a packet brings to the slot in skb->cb[0], where the
// program that is attached to the slot's sockets has put it.
SEC("socket")
int requests(struct __sk_buff *skb)
{
	struct run x = { .skb = skb };
	struct bpf_sock *sk = skb->sk;
	struct arrival *p;
	struct key key = {};
	struct seat *s;
	__u32 zero = 0, head;
	int seated;

	x.r = bpf_map_lookup_elem(&readers, &zero);
	if (!sk || !x.r)
		return PASS;
	p = &x.r->packet;
	if (bpf_skb_load_bytes(skb, 0, &p->tcp, sizeof(p->tcp)) || (!p->tcp.ack && !p->tcp.syn && !p->tcp.rst))
		return PASS;
	head = p->tcp.doff * 4;
	p->state = sk->state;
	p->listening = p->state == BPF_TCP_LISTEN;
	p->bare = skb->len <= head || p->tcp.rst;
	if (p->state == BPF_TCP_CLOSE)
		return PASS;
	if (p->listening) {
		if (p->tcp.rst)
			return PASS;
		if (addresses(skb, &key))
			return PASS;
		key.ports = (__u32)p->tcp.dest << 16 | p->tcp.source;
	} else {
		if (p->tcp.syn)
			return PASS;
		if (p->bare && !p->tcp.fin && !p->tcp.rst && (p->state == BPF_TCP_ESTABLISHED || p->state == BPF_TCP_CLOSE_WAIT))
			return PASS; // most of what comes while a large response is sent
		name(skb, sk, &key);
	}
	p->slot = skb->cb[0];
	x.n = bpf_map_lookup_elem(&totals, &p->slot);
	s = seat_of(&key);
	if (!x.n || !s)
		return PASS;
	x.seq = bpf_ntohl(p->tcp.seq) + p->tcp.syn;
	x.r->off = head;
	x.r->end = skb->len;
	p->end = x.seq + skb->len - head;

	x.conn = &s->conn;
	if (!hold(&x))
		goto missed;
	seated = at_seat(&x, s, &key);
	if (!seated) {
		release(&x);
		if (!p->listening && (p->bare || ended_before(p->state)))
			return PASS;
		x.conn = elsewhere(&x, &key);
		if (!x.conn || p->bare)
			return PASS;
		if (!hold(&x))
			goto missed;
	}
	if (!p->listening && !x.conn->accepted)
		x.conn->accepted = 1;
	// What comes late to the listening socket is of a connection whose process has gone.
	if (!p->bare && !(p->listening && x.conn->accepted)) {
		x.r->id = (__u64)(seated ? s->use : 0) << 32 | (mix(&key) ^ key.ports);
		packet(&x);
	}
	if (seated && !p->listening)
		leave(&x, s, p);
	release(&x);
	return PASS;
missed:
	x.n->resynced += !p->bare; // a hole to the packets behind it
	return PASS;
}

#include "disown.h"
#include "replies.h"
