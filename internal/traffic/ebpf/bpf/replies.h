// What slots send: bytes, and the status and latency of responses of HTTP/1.x.
// A program of a cgroup sees all packets that sockets of its processes send, with
// data from the IP header on; those of known connections are read. Packets of one
// connection come in order here, but for those sent again, and one at a time: TCP sends
// with its socket locked, and only a queue of netfilter's (NFQUEUE) would go on without
// that; what it could confuse are that connection's statuses. Needs CAP_BPF and CAP_NET_ADMIN. Included once, by requests.c.

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#define LEVELS 8

// answers_of is what is counted, by slot. Its size is set when it is made.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct answers);
	__uint(max_entries, 1);
} answers_of SEC(".maps");

// lent are readers for packets that are sent. Processes send, which may be interrupted
// by what softirq sends, or by others: a CPU has several.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct reader);
	__uint(max_entries, LEVELS);
} lent SEC(".maps");

static long lend(__u32 level, struct run *x)
{
	struct reader *r = bpf_map_lookup_elem(&lent, &level);

	if (!r || __sync_lock_test_and_set(&r->taken, 1))
		return 0;
	x->r = r;
	return 1;
}

// give_back needs no barrier but for the compiler: who is lent r next is on the same CPU.
static __always_inline void give_back(struct reader *r)
{
	asm volatile("" ::: "memory");
	*(volatile __u32 *)&r->taken = 0;
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

// behind returns where the data begin behind a header of TCP at off, which may come
// with some, or 0.
static __always_inline __u32 behind(const struct tcphdr *tcp, __u32 off, struct run *x)
{
	x->seq = bpf_ntohl(tcp->seq);
	return tcp->syn || tcp->rst ? 0 : off + tcp->doff * 4;
}

// data_of returns where the data of a packet begin that is sent, or 0 if it is not TCP's
// or has none. A header behind options of IP is copied: a verifier without CAP_PERFMON
// wants to know where one is.
static __always_inline __u32 data_of(struct __sk_buff *skb, struct run *x)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	struct tcphdr copy;
	__u32 off = 0;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (data + sizeof(*ip6) + sizeof(struct tcphdr) <= end && ip6->nexthdr == IPPROTO_TCP)
			off = behind(data + sizeof(*ip6), sizeof(*ip6), x);
	} else if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (data + sizeof(*ip) + sizeof(struct tcphdr) > end || ip->protocol != IPPROTO_TCP)
			return 0;
		if (ip->ihl == 5)
			off = behind(data + sizeof(*ip), sizeof(*ip), x);
		else if (!bpf_skb_load_bytes(skb, ip->ihl * 4, &copy, sizeof(copy)))
			off = behind(&copy, ip->ihl * 4, x);
	}
	return off < skb->len ? off : 0;
}

// read_reply reads what of a packet has not been read before.
static __always_inline void read_reply(struct run *x, __u32 off)
{
	struct reader *r = x->r;
	struct side *c = x->c;
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
	struct seat *s;
	__u32 off, slot, of;
	int seated;

	if (!sk || !served(sk->src_port))
		return 1;
	off = data_of(skb, &x);
	if (!off)
		return 1;
	name(skb, sk, &key);
	s = seat_of(&key);
	of = s ? called(s, &key) : 0;
	seated = of != 0;
	x.conn = seated ? &s->conn : bpf_map_lookup_elem(&conns, &key);
	if (!x.conn || x.conn->counted & DISOWNED)
		return 1;
	slot = x.conn->slot;
	x.out = bpf_map_lookup_elem(&answers_of, &slot);
	if (!x.out)
		return 1;

	x.c = &x.conn->out;
	if (seated)
		s->sent_at = skb->tstamp;
	else
		of = OPEN;
	if (x.conn->of != of) {
		x.conn->of = of;
		x.conn->out = (struct side){ .next = x.seq };
	}
	if (!lend(0, &x))
		bpf_loop(LEVELS, lend, &x, 0);
	if (x.r) {
		read_reply(&x, off);
		give_back(x.r);
	}
	return 1;
}
