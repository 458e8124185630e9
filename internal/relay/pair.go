package relay

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// pair is a client's connection and, while it needs one, the link to an
// instance. Two goroutines work on it: one reads the client (request.go), one
// the instance (response.go). While it is parked (park.go), none does, and who holds
// mu may do what both could.
type pair struct {
	relay   *Relay
	home    *slot
	poller  *poller // of its sockets
	client  net.Conn
	in      *source    // of the client; used by the request goroutine only
	forward *forwarder // nil: heads stay as they are; request goroutine only
	asked   bool       // a request has been passed on; request goroutine only

	stage     stage     // what the request goroutine does; it only
	body      body      // in passingBody
	upgrading bool      // the last request asks to leave HTTP/1.x; request goroutine only
	headBy    time.Time // when the head that has begun must be whole; zero: none has; request goroutine only
	taken     bool      // it was handed over or parked, and has not gone on yet; request goroutine only
	keepBy    bool      // readBy is to stay for the next read, which a hand-over has cut off; request goroutine only

	mu        sync.Mutex
	changed   sync.Cond // on mu: link, sent, opaque or ended has changed
	parked    bool      // the poller goes on with it; no goroutine does
	turn      int       // how often it has been parked
	answering bool      // a response goroutine reads the link
	resting   bool      // the request goroutine waits for the client's next request, and has nothing of it
	parking   bool      // the response goroutine has ended so that the pair is parked; it has cut off that wait
	link      *link     // nil: none
	counted   *slot     // the slot that counts this connection; nil: none yet
	// sent are the requests passed on and not answered yet, oldest first. The
	// request goroutine appends, the response goroutine removes.
	sent      []request
	copied    []byte // backs the again of a request
	writing   bool   // bytes of the instance are being passed on, perhaps the last of a response that is not in sent any more
	sending   bool   // the body of the newest request is still being passed on
	repeating bool   // the response goroutine looks for another link for the request in sent
	opaque    bool   // bytes pass both ways, unread
	replying  bool   // a byte of the response to the oldest request has passed on
	refusing  bool   // the request goroutine answers in the instance's place: nothing of its passes any more
	said      bool   // the client has said all
	silent    bool   // the instance has said all it will on this link, and opaque is set
	last      bool   // the client has got its last response; it is only left to hang up
	ended     bool   // the client's connection is closed
	// unsent and untold have waited since the relay was handed over: for the
	// instance, before all else the client says, and for the client, of an answer
	// of the relay's own.
	unsent, untold []byte

	readBy  time.Time // the read deadline of client; request goroutine only
	writeBy time.Time // its write deadline; response goroutine only
}

// request is what is remembered of a request until its response has passed.
type request struct {
	method  method
	upgrade bool
	close   bool
	at      time.Time // when it was passed on
	// again is the whole request, if it may be sent a second time; else nil.
	again []byte
	// unread is that the instance it was passed on to has not read it.
	unread bool
}

func newPair(r *Relay, home *slot, conn net.Conn) (*pair, error) {
	in, err := newSource(conn.(syscall.Conn))
	if err != nil {
		return nil, err
	}
	poller, err := r.pollers.next()
	if err != nil {
		return nil, err
	}
	p := &pair{relay: r, home: home, poller: poller, client: conn, in: in}
	if in.sock != nil {
		in.sock.serveTo(p)
	}
	if r.forwarded {
		p.forward = &forwarder{client: addrPortOf(conn.RemoteAddr()).Addr()}
	}
	p.changed.L = &p.mu
	return p, nil
}

// serve works until the client's connection is closed and both goroutines are
// done with it, or the pair is parked, or the relay is handed over. It is its turn-th
// time.
func (p *pair) serve(turn int) {
	defer p.relay.running.Done()
	p.readRequests()
	if p.end(turn) {
		p.relay.forget(p)
	}
}

// end closes both connections and waits for the response goroutine. It is false
// when HandOver, or the poller, sees to the rest.
func (p *pair) end(turn int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen() || p.turn != turn {
		return false
	}
	p.ended = true
	p.client.Close()
	p.changed.Broadcast()
	p.ensureAnswers() // to detach the link
	if p.link != nil {
		p.link.close()
	}
	for (p.link != nil || p.repeating) && !p.frozen() {
		p.changed.Wait()
	}
	return !p.frozen()
}

// abort closes both connections from outside; the goroutines find out.
func (p *pair) abort() {
	p.client.Close()
	// Relay.mu may be held here, and p.mu by someone who wants it.
	p.relay.running.Add(1)
	go func() {
		defer p.relay.running.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		p.changed.Broadcast()
		if p.link != nil {
			p.link.close()
		}
		if p.parked {
			p.unpark()
		}
	}()
}

// errEnded is why a pair that is being closed does nothing more.
var errEnded = errors.New("the connection is closed")

// errNobody is that no instance was live for as long as a client is held.
var errNobody = errors.New("no instance is live")

// errScarce is that the process or the machine has no descriptor left, which is
// no instance's fault.
var errScarce = errors.New("no descriptor is left")

// connect opens a link to a live instance, waiting for one if need be. It is
// called without p.mu, by one goroutine at a time, while there is no link.
func (p *pair) connect() (*link, error) {
	r := p.relay
	var giveUp <-chan time.Time
	tried := map[*Instance]bool{}
	for {
		s, inst, changed := r.pick(p.home, tried)
		if s != nil {
			l, err := p.dial(s, inst)
			if err == nil {
				return l, nil
			}
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				// The client's own descriptor is of better use to another one.
				r.rare.log("cannot connect to an instance", err)
				return nil, errScarce
			}
			tried[inst] = true
			continue
		}
		// In this order: who closes the relay after pick, or hands it over, wakes
		// those who wait.
		if p.frozen() {
			return nil, errFrozen
		}
		if p.isEnded() || r.isClosed() {
			return nil, errEnded
		}
		if giveUp == nil {
			r.mu.Lock()
			patience := r.patience()
			r.mu.Unlock()
			t := time.NewTimer(patience)
			defer t.Stop()
			giveUp = t.C
		}
		var again <-chan time.Time
		if len(tried) > 0 {
			// All live ones refused: they are starting or dying, and may be
			// back without being admitted anew.
			again = time.After(20 * time.Millisecond)
			clear(tried)
		}
		select {
		case <-changed:
		case <-again:
		case <-giveUp:
			return nil, errNobody
		}
	}
}

func (p *pair) isEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// lingerTime is how long a client has to take note that its connection is
// closed. Closing it with unread bytes of the client would reset it, and might
// destroy the response on its way (RFC 9112, section 9.6).
const lingerTime = 2 * time.Second

// finish ends the client's connection in good order: it has got its last
// response. The request goroutine reads on until the client hangs up, or not
// for long. p.mu is held.
func (p *pair) finish() {
	p.last = true
	for range p.sent {
		p.counted.counters.RequestAborted()
	}
	p.sent = nil
	closeWrite(p.client)
	p.lingerOn()
	p.changed.Broadcast()
}

// lingerOn bounds how long the request goroutine reads on. p.mu is held.
func (p *pair) lingerOn() {
	if !p.frozen() {
		_ = p.client.SetReadDeadline(time.Now().Add(lingerTime))
	}
}

// hangUp ends the client's connection at once: it has got its last response,
// and has said that it asks for nothing more. p.mu is held.
func (p *pair) hangUp() {
	p.last, p.ended = true, true
	p.client.Close()
	p.changed.Broadcast()
}

// reset ends the client's connection so that it cannot take what it has got for
// a whole response. p.mu is held.
func (p *pair) reset() {
	if s, ok := p.client.(interface{ SetLinger(int) error }); ok {
		_ = s.SetLinger(0)
	}
	p.ended = true
	p.client.Close()
	p.changed.Broadcast()
}

// closeWrite tells the other end that nothing more comes.
func closeWrite(c any) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // it may be gone
	}
}
