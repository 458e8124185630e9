// What is remembered of a connection, and the bytes at hand. Included once, by
// requests.c.

// WINDOW is how many bytes of a packet are loaded at once.
#define WINDOW 256

// STRIDE is how many bytes are looked at together.
#define STRIDE 64

// What the next byte of a connection is read as.
enum state {
	START,   // between two messages
	METHOD,
	TARGET,
	VERSION,
	LINE,    // first byte of a field line, or of the empty line
	END,     // the LF of the empty line
	NAME,    // a field name that may be one of those that matter
	LENGTH,  // value of Content-Length
	CODING,  // value of Transfer-Encoding
	SKIP,    // rest of a line that does not matter
	SIZE,    // chunk size
	EXT,     // rest of the line of a chunk size
	CRLF,    // line end behind a chunk
	MAGIC,   // rest of HTTP/2's connection preface
	FRAME,   // an HTTP/2 frame header
	STATUS,  // a status line
	LOST,    // the rest of a packet that begins with no request line
	OPAQUE,  // whatever comes: it is not followed any more
};

enum flag {
	HAS_LENGTH = 1,  // this head has a Content-Length
	HAS_CODING = 2,  // this head has Transfer-Encoding: chunked
	HTTP10 = 4,      // this head is of HTTP/1.0
	TRAILER = 8,     // the lines are trailers, not a head
	UPGRADE = 16,    // the last head may have changed the protocol
	PREFACE = 32,    // the request line began HTTP/2
	SETTLED = 64,    // HTTP/2's first frame was SETTINGS, as it must be
	HEAD = 128,      // the method is HEAD
};

// What the high bits of conn.len remember within the value of a field.
enum {
	SPACE = 0x20,  // white space behind something
	RETURN = 0x40, // CR
};

// What conn.counted remembers besides requests. A connection cannot have so many.
#define DISOWNED (1ULL << 63) // somebody else has accepted it: it does not count
#define UNPARSED (1ULL << 62) // it is among the unparsed
#define HEADS (1ULL << 61)    // there was a HEAD
#define REQUESTS (HEADS - 1)

// side is how far the bytes of one side of a connection have been read.
struct side {
	__u64 left;     // bytes to skip before state goes on
	__u64 length;   // of the body that this head announces
	__u64 w0, w1;   // the last 16 bytes of what is being matched
	__u64 value;    // the number being read
	__u32 next;     // sequence number of the next byte to be read
	__u32 stream;   // highest HTTP/2 stream that the client opened; a response's status
	union {
		__u32 heads;    // the client's, with HEADS, of the last 32 requests by number: it is a HEAD
		__u32 answered; // the server's: final responses whose head has ended
	};
	__u8 state;
	__u8 flags;
	__u8 len;       // bytes of what is being matched
	__u8 lost;      // bytes were missed: packets are searched for a request line
};

// conn is a connection. Two CPUs may see packets of the client at the same time: only the
// holder of lock changes anything, but for out and of, which are the server's side's, and
// for counted, which is only changed atomically while it lasts. What the CPUs of both sides
// need comes first. What belongs together is in one line of the cache, where conn follows
// on 40 bytes.
struct conn {
	__u32 lock;
	__u32 slot;
	__u64 counted;   // what the totals have of it: requests, and the flags above
	__u64 asked_at;  // when the head of the last request ended; before one, when it was made;
	                 // 0: others may have its seat

	struct side in;  // what the client sends
	__u32 parked;    // sequence number behind the last byte parked
	__u8 accepted;   // the connection's own socket has had a packet
	__u8 waiting;    // packets parked since the last progress
	__u16 serial;    // in a seat: of how many that it has had

	struct side out; // what is sent to the client, of the connection that is called of
	__u32 of;
	__u32 pad;
};

// What follows, the next program that takes this one over reads as well: a change
// to counts or answers is one to layout in handover.go, as is one to struct disowned
// and to LATENCIES and their steps.

// counts are the totals of a slot on one CPU.
struct counts {
	__u64 conns;
	__u64 requests;
	__u64 bytes_in;
	__u64 unparsed;
	__u64 resynced;
};

// answers are the totals on one CPU of what a slot sends.
struct answers {
	__u64 bytes_out;
	__u64 classes[5]; // 1xx (only 101, Switching Protocols) to 5xx
};

// piece is a run of bytes, at most WINDOW of them.
struct piece {
	__u32 len;
	__u32 pad;
	__u8 data[WINDOW + STRIDE]; // so that as many can be read at every position
};

// arrival is what is known of a packet of the client before it is read.
struct arrival {
	struct tcphdr tcp;
	__u32 slot;
	__u32 state;     // of its socket
	__u32 listening; // it came to the listening socket
	__u32 bare;      // it brings no data
	__u32 end;       // sequence number behind its last byte
};

// reader is the packet being read. It is in a map and not on the stack: a
// verifier that does not have CAP_PERFMON to trust then takes its positions for
// unknown numbers on every path, and checks the reading of a byte only once.
struct reader {
	__u32 off;   // of the next byte
	__u32 end;   // behind the last byte
	__u32 base;  // of window.data[0]
	__u32 taken; // it is in use, where that is not certain
	__u64 id;    // names the connection in parked
	struct arrival packet;
	struct piece window;
};

// run is the work at hand, on a packet of the client or of the server.
struct run {
	struct __sk_buff *skb;
	struct reader *r;
	struct conn *conn;
	struct side *c;      // that of conn which is being read
	struct counts *n;    // of the client's side
	struct answers *out; // of the server's side
	__u32 seq;           // of the packet, or of the piece to be parked
	__u32 off;           // of the piece to be parked
	__u32 held;          // conn is ours
};
