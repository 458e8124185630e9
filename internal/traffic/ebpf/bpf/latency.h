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
static __always_inline void took(__u32 slot, __u64 ns)
{
	__u64 us = ns / 1000;
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
