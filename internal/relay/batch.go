package relay

// batch is one or more requests at the beginning of a buffer.
type batch struct {
	count   int
	first   request   // usually the only one
	more    []request // behind it
	n       int       // bytes, up to the end of the last request or of the buffer
	open    bool      // the last request's body goes on after the buffer
	body    body
	broken  bool // that body cannot be followed
	upgrade bool // the last request asks to leave HTTP/1.x

	whole   bool       // a request whose body is broken is none
	forward *forwarder // nil: the bytes stay as they are
}

// bytes are what to send, of the buffer b that was collected from.
func (t *batch) bytes(b []byte) []byte {
	if t.forward != nil {
		return *t.forward.buf
	}
	return b[:t.n]
}

func (t *batch) add(q request) {
	if t.count == 0 {
		t.first = q
	} else {
		t.more = append(t.more, q)
	}
	t.count++
}

// plain tells that the batch is one request that is all of b, and that nothing is
// odd about.
func (t *batch) plain(b []byte) bool {
	return t.count == 1 && t.n == len(b) && !t.open && !t.broken && !t.upgrade
}

// collect takes the whole requests that b begins with, and the last one if only
// its body is incomplete. The error is that of the first.
func (t *batch) collect(b []byte) error {
	if t.forward != nil {
		t.forward.take()
	}
	for !t.open && !t.broken && !t.upgrade && t.count < maxPipelined {
		end, _, err := scanHead(b[t.n:], 0)
		if err == nil && end == 0 {
			return nil
		}
		var h requestHead
		if err == nil {
			h, err = parseRequestHead(b[t.n : t.n+end])
		}
		if err != nil {
			if t.count == 0 {
				return err
			}
			return nil // it will be the first of the next batch
		}
		start := t.n
		t.body = newBody(h.body, h.length)
		n, done, err := t.body.feed(b[start+end:])
		if err != nil && t.whole {
			if t.count == 0 {
				return err
			}
			return nil
		}
		t.n += end + n
		sent := b[start:t.n]
		if f := t.forward; f != nil {
			began := len(*f.buf)
			f.addHead(sent[:end])
			f.add(sent[end:])
			sent = (*f.buf)[began:]
		}
		t.open, t.broken, t.upgrade = !done && err == nil, err != nil, h.upgrade
		q := request{method: h.method, upgrade: h.upgrade, close: h.close}
		if h.body == noBody && !h.upgrade && (h.method == get || h.method == head || h.method == options) {
			q.again = sent // a copy is made if it may be needed
		}
		t.add(q)
		if t.n == len(b) {
			return nil
		}
	}
	return nil
}
