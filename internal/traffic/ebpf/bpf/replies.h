// What slots send: bytes, and the status and latency of responses of HTTP/1.x.
// A program of a cgroup sees all packets that sockets of its processes send, with
// data from the IP header on; those of connections in conns are read. Packets of
// one connection come in order here, but for those sent again. Needs CAP_BPF and
// CAP_NET_ADMIN. Included once, by requests.c.

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#define READERS 128
#define MAX_TRIES 16

// answers_of is what is counted, by slot. Its size is set when it is made.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct answers);
	__uint(max_entries, 1);
} answers_of SEC(".maps");

// lent are readers for packets that are sent. Processes send, and what they send
// may be interrupted by what softirq sends: there is no reader to each CPU.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct reader);
	__uint(max_entries, READERS);
} lent SEC(".maps");

static long lend(__u32 i, struct run *x)
{
	__u32 at = (bpf_get_smp_processor_id() * 4 + i) % READERS;
	struct reader *r = bpf_map_lookup_elem(&lent, &at);

	if (!r || __sync_val_compare_and_swap(&r->taken, 0, 1))
		return 0;
	x->r = r;
	return 1;
}

static long reply_step(__u32 i, struct run *x)
{
	if (x->r->off >= x->r->end)
		return 1;
	read_on(x, 1);
	return 0;
}

// served tells whether slots listen at a port, in host byte order.
static __always_inline int served(__u32 port)
{
	__u32 word = port / 64 % 1024;
	__u64 *bits = bpf_map_lookup_elem(&ports, &word);

	return bits && *bits >> port % 64 & 1;
}

// sender fills in k as the client's packets have it, and returns where the TCP
// header is, or 0 if there is none.
static __always_inline __u32 sender(struct __sk_buff *skb, struct key *k)
{
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
			return 0;
		k->addrs[0] = ip.daddr;
		k->addrs[1] = ip.saddr;
		return ip.ihl * 4;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)) ||
	    ip6.nexthdr != IPPROTO_TCP)
		return 0;
	__builtin_memcpy(k->addrs, &ip6.daddr, 16);
	__builtin_memcpy(k->addrs + 4, &ip6.saddr, 16);
	return sizeof(ip6);
}

// read_reply reads what of a packet has not been read before.
static __always_inline void read_reply(struct run *x, __u32 off)
{
	struct reader *r = x->r;
	struct conn *c = x->c;
	__s32 gap = x->seq - c->next;

	r->off = off;
	r->end = x->skb->len;
	if (gap > 0) {
		enter(c, OPAQUE); // packets were missed that others have
		c->next = x->seq;
	} else if (-gap >= (__s64)(r->end - r->off)) {
		return; // sent again
	} else {
		r->off += -gap;
	}
	__sync_fetch_and_add(&x->out->bytes_out, r->end - r->off);
	r->base = r->off;
	r->window.len = 0;
	bpf_loop(MAX_STEPS, reply_step, x, 0);
}

SEC("cgroup_skb/egress")
int sent(struct __sk_buff *skb)
{
	struct run x = { .skb = skb };
	struct key key = {};
	struct bpf_sock *sk = skb->sk;
	struct tcphdr tcp;
	struct both *b;
	__u32 off, slot;

	if (!sk || !served(sk->src_port))
		return 1;
	off = sender(skb, &key);
	if (!off || bpf_skb_load_bytes(skb, off, &tcp, sizeof(tcp)))
		return 1;
	off += tcp.doff * 4;
	if (skb->len <= off || tcp.syn || tcp.rst)
		return 1;
	key.ports = (__u32)tcp.source << 16 | tcp.dest;
	b = bpf_map_lookup_elem(&conns, &key);
	if (!b || b->in.counted & DISOWNED)
		return 1;
	x.asked = &b->in;
	x.c = &b->out;
	slot = x.asked->slot;
	x.seq = bpf_ntohl(tcp.seq);
	x.out = bpf_map_lookup_elem(&answers_of, &slot);
	if (!x.out)
		return 1;

	if (!acquire(0, &x))
		bpf_loop(MAX_SPINS, acquire, &x, 0);
	if (!x.held)
		return 1;
	if (!x.c->id) {
		x.c->id = x.asked->id;
		x.c->next = x.seq;
	}
	if (!lend(0, &x))
		bpf_loop(MAX_TRIES, lend, &x, 0);
	if (x.r) {
		read_reply(&x, off);
		__sync_lock_test_and_set(&x.r->taken, 0);
	}
	__sync_lock_test_and_set(&x.c->lock, 0);
	return 1;
}
