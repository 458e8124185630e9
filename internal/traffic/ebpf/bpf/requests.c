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
#include "latency.h"
#include "http.h"

#define PASS 0xffffffff // more than any packet has: nothing is cut off

#define MAX_STEPS (1 << 20)      // several for each byte of the longest packet
#define MAX_SPINS (1 << 23)      // 50 ms or more: a hypervisor may stop the CPU that holds
#define MAX_PARKED (256 << 10)   // bytes of one connection that wait
#define MAX_WAITING 250          // packets of one connection that wait

#define MARK_NET 0x7f4d0000 // 127.77.0.0/16
#define MARK_HOPS 200       // of ::1: hop limits from here on
#define HOP_MARKS 55        // so many

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

// conns forgets the connection that has been silent for the longest time when
// it is full; if that one speaks again, it is read on from a request line.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct key);
	__type(value, struct both);
	__uint(max_entries, 65536);
} conns SEC(".maps");

// syns has the sequence numbers at which connections begin whose handshake is not
// done: neither a flood of SYNs nor packets of no connection get into conns.
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
	struct place at = { .id = x->c->id, .seq = x->c->next };
	struct piece *piece;

	if ((__s32)(x->c->parked - x->c->next) <= 0)
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
	struct conn *c = x->c;
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
		if (c->state == SKIP && have >= STRIDE && lineless(r->window.data + at))
			take = STRIDE;
		else
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
	struct place at = { .id = x->c->id, .seq = x->seq };

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
	struct conn *c = x->c;

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
	struct conn *c = x->c;
	__u32 len = x->r->end - x->r->off;

	if (c->lost || c->waiting >= MAX_WAITING || gap + len > MAX_PARKED)
		return 0;
	x->off = x->r->off;
	bpf_loop(MAX_PARKED / WINDOW, park, x, 0);
	if (x->off != x->r->end)
		return 0;
	c->waiting++;
	if ((__s32)(x->seq - c->parked) > 0)
		c->parked = x->seq;
	return 1;
}

// lose gives up bytes that were missed, and looks for a request line at the
// start of each packet from seq on. HTTP/2 has nothing to be found again by.
static __always_inline void lose(struct run *x, __u32 seq)
{
	struct conn *c = x->c;

	if (!c->lost)
		x->n->resynced++;
	c->left = 0;
	c->parked = seq;
	c->next = seq;
	if (c->state == MAGIC || c->state == FRAME) {
		fail(x, 0);
	} else {
		c->lost = 1;
		enter(c, START);
	}
}

// packet reads the packet in x->r, whose first byte is x->seq.
static __always_inline void packet(struct run *x)
{
	struct reader *r = x->r;
	struct conn *c = x->c;
	__s32 gap = x->seq - c->next;

	if (gap > 0) {
		if (!skip_hole(x, gap)) {
			if (wait(x, gap))
				return;
			lose(x, x->seq);
		}
	} else if (-gap >= (__s64)(r->end - r->off)) {
		return; // seen before
	} else {
		r->off += -gap;
	}
	if (c->state == LOST)
		enter(c, START);
	c->waiting = 0;
	r->base = r->off;
	r->window.len = 0;
	bpf_loop(MAX_STEPS, step, x, 0);
}

static long acquire(__u32 i, struct run *x)
{
	x->held = __sync_val_compare_and_swap(&x->c->lock, 0, 1) == 0;
	return x->held;
}

static __always_inline int addresses(struct __sk_buff *skb, struct key *k)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return bpf_skb_load_bytes_relative(skb, 12, k->addrs, 8, BPF_HDR_START_NET);
	return bpf_skb_load_bytes_relative(skb, 8, k->addrs, 32, BPF_HDR_START_NET);
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

// welcome makes the entry of a connection whose handshake ends at the listening
// socket. One that its own socket knows and conns does not had been forgotten.
static __always_inline void welcome(struct run *x, struct key *key, __u32 slot, int listening)
{
	__u32 *begins = bpf_map_lookup_elem(&syns, key);
	struct both fresh = { .in = { .slot = slot, .lost = !listening } };

	if (!begins && listening)
		return;
	fresh.in.id = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
	fresh.in.next = fresh.in.parked = begins && listening ? *begins : x->seq;
	serves(bpf_ntohs(key->ports >> 16));
	if (bpf_map_update_elem(&conns, key, &fresh, BPF_NOEXIST) == 0) {
		x->n->conns += listening;
		x->n->resynced += !listening;
	}
	if (begins) // room that has just been used is the quickest to be had again
		bpf_map_delete_elem(&syns, key);
}

// requests counts what a packet brings to the slot in skb->cb[0], where the
// program that is attached to the slot's sockets has put it.
SEC("socket")
int requests(struct __sk_buff *skb)
{
	__u32 slot = skb->cb[0], zero = 0, head;
	struct bpf_sock *sk = skb->sk;
	struct key key = {};
	struct tcphdr tcp;
	struct run x = { .skb = skb };
	struct both *known;
	int listening;

	if (!sk)
		return PASS;
	listening = sk->state == BPF_TCP_LISTEN;
	if (bpf_skb_load_bytes(skb, 0, &tcp, sizeof(tcp)) || tcp.rst || (!tcp.ack && !tcp.syn))
		return PASS;
	head = tcp.doff * 4;
	if (!listening && skb->len <= head)
		return PASS; // most of what comes while a large response is sent
	if (addresses(skb, &key))
		return PASS;
	key.ports = (__u32)tcp.dest << 16 | tcp.source;
	x.r = bpf_map_lookup_elem(&readers, &zero);
	x.n = bpf_map_lookup_elem(&totals, &slot);
	if (!x.r || !x.n)
		return PASS;

	x.seq = bpf_ntohl(tcp.seq) + tcp.syn;
	x.r->off = head;
	x.r->end = skb->len;

	if (tcp.syn && !listening)
		return PASS;
	known = bpf_map_lookup_elem(&conns, &key);
	if (known && tcp.syn) {
		// A new connection; whoever had these ports before is gone.
		bpf_map_delete_elem(&conns, &key);
		known = 0;
	}
	if (!known && by_clusterd(skb, &key))
		return PASS; // its packets go on to have no entry
	if (tcp.syn) {
		bpf_map_update_elem(&syns, &key, &x.seq, BPF_ANY);
		if (skb->len <= head)
			return PASS; // but for data in a SYN (TCP Fast Open)
	}
	if (!known) {
		welcome(&x, &key, slot, listening);
		if (skb->len <= head)
			return PASS; // the end of a handshake
		// Another CPU may have made it meanwhile, by the packet before. If not,
		// the packet is of no connection, or of one that has ended.
		known = bpf_map_lookup_elem(&conns, &key);
		if (!known)
			return PASS;
	}
	x.c = &known->in;
	if (!listening)
		x.c->accepted = 1;
	else if (x.c->accepted)
		return PASS; // late, of a connection whose process has gone
	if (skb->len <= head)
		return PASS;

	if (!acquire(0, &x))
		bpf_loop(MAX_SPINS, acquire, &x, 0);
	if (!x.held) {
		x.n->resynced++; // a hole to the packets behind it
		return PASS;
	}
	packet(&x);
	__sync_lock_test_and_set(&x.c->lock, 0);
	return PASS;
}

#include "disown.h"
#include "replies.h"
