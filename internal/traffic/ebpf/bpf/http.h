// The framing of HTTP/1.x (RFC 9112), and of the client's side of HTTP/2 without
// TLS (RFC 9113). A message may be cut anywhere: follow resumes at any byte. What
// differs between the sides goes by reply, which is constant: 1 for the server's.
// Included once, by requests.c.

#define EACH(ch) ((__u64)(ch) * 0x0101010101010101ULL)

// The ends of names and words as side.w0 and side.w1 hold them.
#define IS_PRI 0x505249ULL
#define IS_HEAD 0x48454144ULL
#define IS_CONNECT 0x434f4e4e454354ULL
#define IS_HTTP10 0x485454502f312e30ULL
#define IS_HTTP11 0x485454502f312e31ULL
#define IS_HTTP20 0x485454502f322e30ULL
#define IS_MAGIC 0x0d0a534d0d0a0d0aULL    // CR LF S M CR LF CR LF
#define IS_CONTENT 0x636f6e74656eULL      // conten
#define IS_T_LENGTH 0x742d6c656e677468ULL // t-length
#define IS_RANSFER 0x72616e736665722dULL  // ransfer-
#define IS_ENCODING 0x656e636f64696e67ULL // encoding
#define IS_UPGRADE 0x75706772616465ULL
#define IS_CHUNKED 0x6368756e6b6564ULL

// The first 8 bytes of the field names that matter, as a load of them gives, and
// what else is known by its first bytes.
#define BEGINS_CONTENT 0x2d746e65746e6f63ULL  // content-
#define BEGINS_LENGTH 0x3a6874676e656cULL     // length:
#define BEGINS_TRANSFER 0x726566736e617274ULL // transfer
#define BEGINS_UPGRADE 0x3a65646172677075ULL  // upgrade:
#define BEGINS_GET 0x20544547ULL              // GET SP
#define BEGINS_CRLF 0x0a0dULL                 // CR LF

// first takes the first n bytes, 1 to 7, of a load.
#define FIRST(w, n) ((w) & ~0ULL >> (64 - 8 * (n)))

// below finds bytes of w less than n (at most 0x80): the high bit of the first
// such byte is set, and none before it.
static __always_inline __u64 below(__u64 w, __u8 n)
{
	return (w - EACH(n)) & ~w & EACH(0x80);
}

// before says how many bytes come before the first that below found: what is left of
// the factor above that byte's bit begins with its number.
static __always_inline __u32 before(__u64 found)
{
	return ((found & -found) >> 7) * 0x0001020304050607ULL >> 56;
}

// line says how many bytes come before the first line end of those at p; STRIDE if
// there is none.
static __always_inline __u32 line(const __u8 *p)
{
	const __u64 *w = (const __u64 *)p;

#pragma unroll
	for (int i = 0; i < STRIDE / 8; i++) {
		__u64 found = below(w[i] ^ EACH('\n'), 1);

		if (found)
			return 8 * i + before(found);
	}
	return STRIDE;
}

// is_token tells whether a method or a field name may contain ch.
static __always_inline int is_token(__u8 ch)
{
	__u64 set = ch < 64 ? 0x03ff6cfa00000000ULL : 0x57ffffffc7fffffeULL;

	return ch < 128 && (set >> (ch & 63) & 1);
}

static __always_inline __u8 lower(__u8 ch)
{
	return ch >= 'A' && ch <= 'Z' ? ch | 0x20 : ch;
}

static __always_inline void push(struct side *c, __u8 ch)
{
	c->w0 = c->w0 << 8 | c->w1 >> 56;
	c->w1 = c->w1 << 8 | ch;
	if (c->len < 255)
		c->len++;
}

static __always_inline void enter(struct side *c, __u8 state)
{
	c->state = state;
	c->w0 = 0;
	c->w1 = 0;
	c->value = 0;
	c->len = 0;
}

// fail gives up on the connection: it is not HTTP, or servers do not agree on
// how to read it.
static __always_inline void fail(struct run *x, const int reply)
{
	struct side *c = x->c;

	if (c->lost) {
		enter(c, LOST);
		return;
	}
	// After an Upgrade another protocol is what was asked for, and every
	// request before it was counted.
	if (!reply && (c->state != START || !(c->flags & UPGRADE)) &&
	    !(__sync_fetch_and_or(&x->conn->counted, UNPARSED) & DISOWNED))
		x->n->unparsed++;
	enter(c, OPAQUE);
}

static __always_inline void head_begins(struct side *c, const int reply)
{
	c->flags = 0;
	c->length = 0;
	enter(c, reply ? STATUS : METHOD);
}

// count counts a request, of a connection that counts.
static __always_inline void count(struct run *x)
{
	if (!(__sync_fetch_and_add(&x->conn->counted, 1) & DISOWNED))
		x->n->requests++;
}

// asked takes note of a request. That it is counted comes last: it tells the
// server's side that there is one.
static __always_inline void asked(struct run *x)
{
	struct conn *conn = x->conn;
	struct side *c = x->c;
	__u32 bit = 1U << (conn->counted & 31);

	if (c->flags & HEAD)
		__sync_fetch_and_or(&conn->counted, HEADS);
	if (conn->counted & HEADS)
		c->heads = c->flags & HEAD ? c->heads | bit : c->heads & ~bit;
	conn->asked_at = bpf_ktime_get_ns();
	count(x);
}

// sent_at is when a packet is sent: TCP has asked the clock of bpf_ktime_get_ns already,
// or will wait until then if it paces what it sends (net/ipv4/tcp_output.c, since Linux
// 4.20).
static __always_inline __u64 sent_at(struct __sk_buff *skb)
{
	__u64 at = skb->tstamp;

	return at ? at : bpf_ktime_get_ns();
}

// status_ends takes the status, and measures how long it took to answer; it says
// whether the response answers a request that was counted. Of requests sent
// before the last was answered only the last is measured.
static __always_inline int status_ends(struct run *x)
{
	struct side *c = x->c;
	__u32 asked = x->conn->counted;

	c->stream = c->value;
	if (c->stream < 100 || c->stream > 599 || c->answered == asked)
		return 0;
	if ((c->stream >= 200 || c->stream == 101) && c->answered + 1 == asked)
		took(x->conn->slot, sent_at(x->skb) - x->conn->asked_at);
	return 1;
}

// answered counts a final response, and says whether a body follows.
static __always_inline int answered(struct run *x)
{
	struct side *c = x->c;
	__u32 class = c->stream / 100;
	int head = x->conn->counted & HEADS && x->conn->in.heads >> (c->answered & 31) & 1;

	if (class == 2)
		__sync_fetch_and_add(&x->out->classes[1], 1);
	else if (class == 3)
		__sync_fetch_and_add(&x->out->classes[2], 1);
	else if (class == 4)
		__sync_fetch_and_add(&x->out->classes[3], 1);
	else if (class == 5)
		__sync_fetch_and_add(&x->out->classes[4], 1);
	else
		__sync_fetch_and_add(&x->out->classes[0], 1);
	c->answered++;
	return !head && c->stream != 204 && c->stream != 304;
}

// reply_ends goes on behind the head of a response (RFC 9112, 6.3).
static __always_inline void reply_ends(struct run *x)
{
	struct side *c = x->c;

	if (c->stream < 200 && c->stream != 101) {
		enter(c, START); // an interim response: the final one is still to come
	} else if (!answered(x)) {
		enter(c, START);
	} else if (c->flags & HAS_CODING) {
		enter(c, SIZE);
	} else if (c->flags & HAS_LENGTH) {
		c->left = c->length;
		enter(c, START);
	} else {
		enter(c, OPAQUE); // until the connection ends, or another protocol
	}
}

// head_ends goes on behind the empty line, with the body.
static __always_inline void head_ends(struct run *x, const int reply)
{
	struct side *c = x->c;

	if (c->flags & TRAILER) {
		enter(c, START);
	} else if (reply) {
		reply_ends(x);
	} else if (c->flags & HAS_CODING && c->flags & (HAS_LENGTH | HTTP10)) {
		fail(x, reply);
	} else {
		asked(x);
		c->lost = 0;
		c->left = c->length;
		enter(c, c->flags & HAS_CODING ? SIZE : START);
	}
}

// size_ends goes on behind the line of a chunk's size.
static __always_inline void size_ends(struct side *c)
{
	c->left = c->value;
	if (!c->value)
		c->flags |= TRAILER;
	enter(c, c->value ? CRLF : LINE);
}

static __always_inline void version_ends(struct run *x, const int reply)
{
	struct side *c = x->c;

	if (c->flags & PREFACE && c->w1 == IS_HTTP20) {
		enter(c, MAGIC);
	} else if (!(c->flags & PREFACE) && (c->w1 == IS_HTTP11 || c->w1 == IS_HTTP10)) {
		if (c->w1 == IS_HTTP10)
			c->flags |= HTTP10;
		enter(c, LINE);
	} else {
		fail(x, reply);
	}
}

// length_begins goes on behind the name Content-Length, which a head may have once.
static __always_inline void length_begins(struct run *x, const int reply)
{
	struct side *c = x->c;

	if (c->flags & HAS_LENGTH) {
		fail(x, reply);
		return;
	}
	c->flags |= HAS_LENGTH;
	enter(c, LENGTH);
}

static __always_inline void name_ends(struct run *x, const int reply)
{
	struct side *c = x->c;
	__u8 again = 0, state = SKIP;

	if (c->len == 14 && c->w0 == IS_CONTENT && c->w1 == IS_T_LENGTH) {
		length_begins(x, reply);
		return;
	}
	if (c->len == 17 && c->value == 't' && c->w0 == IS_RANSFER && c->w1 == IS_ENCODING) {
		again = c->flags & HAS_CODING;
		c->flags |= HAS_CODING;
		state = CODING;
	} else if (c->len == 7 && c->w1 == IS_UPGRADE) {
		c->flags |= UPGRADE;
	}
	if (again)
		fail(x, reply);
	else
		enter(c, state);
}

static __always_inline void coding_ends(struct run *x, const int reply)
{
	struct side *c = x->c;
	__u8 ahead = c->w1 >> 56;

	// The last coding must be chunked; the others do not frame.
	if ((c->w1 & (~0ULL >> 8)) == IS_CHUNKED && (!ahead || ahead == ' ' || ahead == ','))
		enter(c, LINE);
	else
		fail(x, reply);
}

// frame_ends counts a HEADERS frame that opens a stream; one on a stream that is
// open already is a trailer. A frame's header is 24 bits of length, 8 of type, 8
// of flags and 32 of stream.
static __always_inline void frame_ends(struct run *x, const int reply)
{
	struct side *c = x->c;
	__u32 length = (c->w0 & 0xff) << 16 | c->w1 >> 48;
	__u32 stream = c->w1 & 0x7fffffff;
	__u8 type = c->w1 >> 40;

	if (!(c->flags & SETTLED) && type != 4) {
		fail(x, reply);
		return;
	}
	c->flags |= SETTLED;
	if (type == 1 && stream & 1 && stream > c->stream) {
		count(x);
		c->stream = stream;
	}
	c->left = length;
	enter(c, FRAME);
}

// What follows takes at once what most messages have, and returns how many bytes
// that were; 0 if there is something else, which is for follow to take byte by byte.

// status takes a version and a status, out of 16 bytes.
static __always_inline __u32 status(struct side *c, __u64 w, __u64 next)
{
	__u64 version = __builtin_bswap64(w);
	__u8 a = (next >> 8) - '0', b = (next >> 16) - '0', d = (next >> 24) - '0';

	if ((version != IS_HTTP11 && version != IS_HTTP10) || (next & 0xff) != ' ' || a > 9 || b > 9 || d > 9)
		return 0;
	c->w1 = version;
	c->value = a * 100 + b * 10 + d;
	c->len = 12;
	return 12;
}

// number takes the length of a body of up to 5 digits and the line end, out of 8 bytes.
static __always_inline __u32 number(struct side *c, __u64 w)
{
	__u64 value = 0;
	__u32 space = (w & 0xff) == ' ', digits = 0;

	if (space)
		w >>= 8;
#pragma unroll
	for (int i = 0; i < 5; i++) {
		__u8 digit = w - '0';

		if (digit > 9)
			break;
		value = value * 10 + digit;
		digits++;
		w >>= 8;
	}
	if (!digits || FIRST(w, 2) != BEGINS_CRLF)
		return 0;
	c->length = value;
	enter(c, LINE);
	return space + digits + 2;
}

// follow reads on in the STRIDE bytes at p, which are the next ones of the connection;
// have of them count, all if have is more. It returns how many it has consumed;
// with 0 it has changed state.
static __always_inline __u32 follow(struct run *x, const __u8 *p, __u32 have, const int reply)
{
	struct side *c = x->c;
	__u64 w = *(const __u64 *)p, next = *(const __u64 *)(p + 8), found, name;
	__u8 ch = w, digit;
	__u32 n;

	switch (c->state) {
	case START:
		if (!reply && (ch == '\r' || ch == '\n'))
			return 1; // RFC 9112, 2.2: empty lines before a request line
		if (reply ? ch != 'H' : !is_token(ch)) {
			fail(x, reply);
			return 0;
		}
		head_begins(c, reply);
		if (reply)
			return have >= 16 ? status(c, w, next) : 0;
		if (have < 8 || FIRST(w, 4) != BEGINS_GET)
			return 0;
		enter(c, TARGET);
		return 4;
	case STATUS:
		if (!reply)
			break;
		if (have >= 8 && !c->len) {
			c->w1 = __builtin_bswap64(w);
			c->len = 8;
			return 8;
		}
		if (c->len < 8) {
			push(c, ch);
		} else if (c->len == 8 && ch == ' ' && (c->w1 == IS_HTTP11 || c->w1 == IS_HTTP10)) {
			c->len++;
		} else if (c->len > 8 && c->len < 12 && ch >= '0' && ch <= '9') {
			c->value = c->value * 10 + (ch - '0');
			c->len++;
		} else if (c->len == 12 && status_ends(x)) {
			enter(c, SKIP);
			goto skip;
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case METHOD:
		if (reply)
			break;
		if (ch == ' ' && c->len) {
			if (c->len == 3 && c->w1 == IS_PRI)
				c->flags |= PREFACE;
			if (c->len == 4 && c->w1 == IS_HEAD)
				c->flags |= HEAD;
			if (c->len == 7 && c->w1 == IS_CONNECT)
				c->flags |= UPGRADE;
			enter(c, TARGET);
		} else if (is_token(ch) && c->len < 64) {
			push(c, ch);
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case TARGET:
		if (reply)
			break;
		if (have >= 8) {
			found = below(w, '!');
			if (!found) {
				c->len = 1;
				return 8;
			}
			n = before(found);
			if (n)
				c->len = 1;
			if (c->len && (w >> 8 * n & 0xff) == ' ') {
				enter(c, VERSION);
				return n + 1;
			}
			if (n)
				return n;
		}
		if (ch == ' ' && c->len) {
			enter(c, VERSION);
		} else if (ch > ' ') {
			c->len = 1;
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case VERSION:
		if (reply)
			break;
		if (have >= 8 && !c->len) {
			c->w1 = __builtin_bswap64(w);
			c->len = 8;
			if (have < 16 || FIRST(next, 2) != BEGINS_CRLF)
				return 8;
			version_ends(x, reply);
			return 10;
		}
		if (c->len < 8) {
			push(c, ch);
		} else if (ch == '\r' && c->len == 8) {
			c->len = 9;
		} else if (ch == '\n') {
			version_ends(x, reply);
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case LINE:
		if (have >= 8 && FIRST(w, 2) == BEGINS_CRLF) {
			head_ends(x, reply);
			return 2;
		}
		if (ch == '\r') {
			c->state = END;
			return 1;
		}
		if (ch == '\n') {
			head_ends(x, reply);
			return 1;
		}
		if (ch == ' ' || ch == '\t') {
			fail(x, reply); // a folded line
			return 0;
		}
		name = w | EACH(0x20);
		if (c->flags & TRAILER || (have >= 8 && name != BEGINS_CONTENT &&
		    name != BEGINS_TRANSFER && name != BEGINS_UPGRADE)) {
			c->state = SKIP;
			goto skip;
		}
		enter(c, NAME);
		if (have < 16 || (w | EACH(0x20) >> 8) != BEGINS_CONTENT)
			return 0;
		if ((FIRST(next, 7) | EACH(0x20) >> 16) == BEGINS_LENGTH) {
			length_begins(x, reply);
			n = have >= 23 && c->state == LENGTH ? number(c, *(const __u64 *)(p + 15)) : 0;
			return 15 + n;
		}
		if ((FIRST(next, 1) | 0x20) == 'l')
			return 0;
		c->state = SKIP;
		goto skip;
	case END:
		if (ch == '\n') {
			head_ends(x, reply);
			return 1;
		}
		fail(x, reply);
		return 0;
	case NAME:
		if (ch == ':') {
			name_ends(x, reply);
		} else if (is_token(ch)) {
			if (!c->len)
				c->value = lower(ch); // w0 and w1 hold no more than 16
			push(c, lower(ch));
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case LENGTH:
		n = have >= 8 && !c->len ? number(c, w) : 0;
		if (n)
			return n;
		digit = ch - '0';
		if (digit <= 9 && c->len < 18) {
			c->value = c->value * 10 + digit;
			c->len++;
		} else if (ch == ' ' || ch == '\t') {
			if (c->len)
				c->len |= SPACE;
		} else if (ch == '\r' && c->len && !(c->len & RETURN)) {
			c->len |= RETURN;
		} else if (ch == '\n' && c->len) {
			c->length = c->value;
			enter(c, LINE);
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case CODING:
		if (ch == '\n') {
			coding_ends(x, reply);
		} else if (ch == ' ' || ch == '\t') {
			if (c->w1)
				c->len = SPACE;
		} else if (ch != '\r') {
			if (c->len == SPACE)
				c->w1 = c->w1 << 8 | ' ';
			c->w1 = c->w1 << 8 | lower(ch);
			c->len = 0;
		}
		return 1;
	case SKIP:
	case EXT:
	skip:
		n = line(p);
		if (n >= have)
			return have;
		if (n == STRIDE)
			return n;
		if (c->state == EXT)
			size_ends(c);
		else
			enter(c, LINE);
		return n + 1;
	case SIZE:
		digit = lower(ch) - '0';
		if (digit > 9)
			digit = digit >= 'a' - '0' && digit <= 'f' - '0' ? digit - ('a' - '0') + 10 : 16;
		if (digit < 16 && c->len < 15) {
			c->value = c->value << 4 | digit;
			c->len++;
		} else if (!c->len) {
			fail(x, reply);
			return 0;
		} else if (ch == '\n') {
			size_ends(c);
		} else if (ch == '\r' || ch == ';' || ch == ' ' || ch == '\t') {
			c->state = EXT;
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case CRLF:
		if (ch == '\n') {
			enter(c, SIZE);
		} else if (ch == '\r' && !c->len) {
			c->len = 1;
		} else {
			fail(x, reply);
			return 0;
		}
		return 1;
	case MAGIC:
		if (reply)
			break;
		push(c, ch);
		if (c->len == 8) {
			if (c->w1 == IS_MAGIC)
				enter(c, FRAME);
			else
				fail(x, reply);
		}
		return 1;
	case FRAME:
		if (reply)
			break;
		if (have >= 8 && !c->len) {
			c->w1 = __builtin_bswap64(w);
			c->len = 8;
			return 8;
		}
		push(c, ch);
		if (c->len == 9)
			frame_ends(x, reply);
		return 1;
	}
	return 8; // OPAQUE and LOST are skipped without being read
}
