// How long responses took. Included once, by requests.c.

#define LATENCIES 128 // steps of a slot: four to each power of two microseconds

// latency is by slot and step. Its size is set when it is made.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, LATENCIES);
} latency SEC(".maps");

// took counts a response of slot in its step.
static __always_inline void took(__u32 slot, __s64 past)
{
	__u64 ns = past > 0 ? past : 0;
	// A division, which is slow, is a multiplication below 2^32 (Hacker's Delight, 10-9).
	__u64 us = ns >> 32 ? ns / 1000 : ns * 274877907 >> 38;
	__u32 step, power = 0;
	__u64 *n;

	if (us > 0xffffffff)
		us = 0xffffffff;
	step = us;
	if (us >= 4) {
		for (__u32 i = 16; i; i >>= 1)
			if (us >> (power + i))
				power += i;
		step = 4 * (power - 1) + (us >> (power - 2) & 3);
	}
	step += slot * LATENCIES;
	n = bpf_map_lookup_elem(&latency, &step);
	if (n)
		__sync_fetch_and_add(n, 1);
}
