package port

import (
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/sockdiag"
)

const (
	// A connection that has sent so recently may be in the middle of a response.
	justSent = 50 * time.Millisecond
	// A new connection is about to send its request, also from a busy machine.
	justOpened = time.Second
)

// Requests follows what processes are asked over the TCP connections that they have
// accepted on a port. The zero value of talks is right to begin with.
type Requests struct {
	Port int
	PIDs func() []int // the processes

	talks map[uint32]talk // by inode, of the connections that were in a request at each look
}

// Look counts the connections that are in the middle of a request, as far as the
// kernel's clocks tell: those that received something after they last sent
// something, have sent or are sending just now, or are new. A connection over which
// the server speaks first or pushes counts while it does so.
//
// first are those of them that may be in the request in which the first look has
// found them still. Over the others, the client has asked again since.
//
// It lists the port's connections (about 2 ms at 1,000 of them) and the
// descriptors of the processes; one that may not be looked into counts as having
// none.
func (r *Requests) Look() (busy, first int, err error) {
	open := map[string]bool{}
	for _, pid := range r.PIDs() {
		for _, link := range sockets(pid) {
			open[link] = true
		}
	}
	if len(open) == 0 {
		return 0, 0, nil
	}
	begin := r.talks == nil
	now := map[uint32]talk{}
	q := sockdiag.Query{States: sockdiag.Established | sockdiag.CloseWait, Port: r.Port, Extensions: 1 << (sockdiag.AttrInfo - 1)}
	err = sockdiag.Dump(q, func(m sockdiag.Message) {
		info, ok := m.Info()
		inode := m.Inode()
		if !ok || inode == 0 || !open[socketLink(inode)] || !inRequest(info) {
			return
		}
		t, known := r.talks[inode]
		if !known {
			t = talk{in: info.Data_segs_in, out: info.Data_segs_out, again: !begin && info.Data_segs_out > 0}
		}
		now[inode] = t.goOn(info)
		if busy++; !now[inode].again {
			first++
		}
	})
	if err != nil {
		return 0, 0, err
	}
	r.talks = now
	return busy, first, nil
}

// A talk is what has gone over a connection since the first look at it.
type talk struct {
	in, out  uint32 // segments with data, so far
	answered bool   // it has sent something since
	again    bool   // it has received something after that: another request
}

func (t talk) goOn(info unix.TCPInfo) talk {
	switch {
	case !t.answered && info.Data_segs_out != t.out:
		t.answered, t.in = true, info.Data_segs_in
	case t.answered && info.Data_segs_in != t.in:
		t.again = true
	}
	return t
}

// inRequest decides from a connection's clocks. They count milliseconds back from
// now, in steps of the kernel's tick, and begin with the connection.
func inRequest(info unix.TCPInfo) bool {
	since := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
	received, sent := info.Data_segs_in > 0, info.Data_segs_out > 0
	switch {
	case info.Unacked > 0 || info.Notsent_bytes > 0:
		return true
	case !received && !sent:
		return since(info.Last_data_recv) < justOpened
	case !sent:
		return true // a request, and nothing of a response
	case since(info.Last_data_sent) < justSent:
		return true
	}
	return info.Last_data_recv < info.Last_data_sent
}
