package proc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"clusterd/internal/config"
)

// notice is what a process says of itself in one datagram, see sd_notify(3).
type notice struct {
	ready, stopping bool
	alive           bool    // WATCHDOG=1
	dying           bool    // WATCHDOG=trigger: it finds itself no good
	status          *string // nil: it says nothing of that
	mainPID         int     // 0: it does not
}

// maxStatus bounds what is kept of a STATUS, in columns.
const maxStatus = 200

// parseNotice reads a datagram. What it does not know, it leaves out.
func parseNotice(b []byte) (n notice) {
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch {
		case line == "READY=1":
			n.ready = true
		case line == "STOPPING=1":
			n.stopping = true
		case line == "WATCHDOG=1":
			n.alive = true
		case line == "WATCHDOG=trigger":
			n.dying = true
		case key == "STATUS":
			text := ansi.Truncate(ansi.Strip(clean([]byte(value))), maxStatus, "…")
			n.status = &text
		case key == "MAINPID":
			if pid, err := strconv.Atoi(value); err == nil && pid > 0 {
				n.mainPID = pid
			}
		}
	}
	return n
}

// notifier is the socket at which a run can say how it is.
type notifier struct {
	conn  *net.UnixConn
	ended chan struct{} // closed when serve has returned
}

// pause has nothing more read from the socket. What has been read has been handed over.
func (n *notifier) pause() {
	_ = n.conn.SetReadDeadline(time.Unix(1, 0))
	<-n.ended
}

// notifies tells whether the instances of an app have something to say.
func notifies(a config.App) bool {
	return a.Ready.By == config.ByNotify || a.Health.By == config.ByWatchdog
}

// listenNotify makes a socket without a file, under a name that nobody can guess.
func listenNotify() (*notifier, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@clusterd-" + rand.Text(), Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for sd_notify: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, ctlErr)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for sd_notify: %w", err)
	}
	return &notifier{conn, make(chan struct{})}, nil
}

// address is the value of NOTIFY_SOCKET.
func (n *notifier) address() string { return n.conn.LocalAddr().String() }

// maxNotice is how long a datagram may be; systemd has the same bound.
const maxNotice = 4096

// serve hands over what the processes of a run say, until the socket is closed, or
// pause is called.
func (n *notifier) serve(p process, hear func(notice)) {
	defer close(n.ended)
	senders := senders{process: p, known: map[int]uint64{}}
	buf, oob := make([]byte, maxNotice+1), make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxFiles))
	for {
		size, oobSize, flags, _, err := n.conn.ReadMsgUnix(buf, oob)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			time.Sleep(endPollMin) // a lack of memory or descriptors may pass
			continue
		}
		from := senderOf(oob[:oobSize])
		if flags&unix.MSG_TRUNC != 0 || size > maxNotice || !senders.believes(from) {
			continue
		}
		said := parseNotice(buf[:size])
		if said.mainPID != 0 && !slices.Contains(p.Members(), said.mainPID) {
			said.mainPID = 0
		}
		hear(said)
	}
}

// maxFiles is how many descriptors can come with a datagram that is looked at.
// Others are closed by the kernel.
const maxFiles = 16

// senderOf is who sent a datagram, as the kernel says, nil if it does not. It
// closes descriptors that came along: nothing is kept for anybody, and with
// BARRIER=1 this is the answer that the sender waits for.
func senderOf(oob []byte) (from *unix.Ucred) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			from = cred
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return from
}

// senders knows the processes of a run that have sent something.
type senders struct {
	process process
	known   map[int]uint64 // when it started, by pid
}

// believes tells whether a datagram is from a process of the run. One from a
// process that is gone already, as systemd-notify is at once, is believed: it
// has known the name of the socket, which only the run's environment tells.
func (s *senders) believes(from *unix.Ucred) bool {
	if from == nil || from.Pid <= 0 { // from another PID namespace that nobody sees
		return false
	}
	pid := int(from.Pid)
	st, err := readStat(pid)
	if err != nil || st.zombie {
		return err == nil || gone(err)
	}
	if s.known[pid] == st.start {
		return true
	}
	if slices.Contains(s.process.Members(), pid) {
		s.known[pid] = st.start
		return true
	}
	_, err = readStat(pid)
	return err != nil && gone(err) // it ended meanwhile
}

// hears says what to do with notices of a run. It is for one goroutine.
func (c *Cluster) hears(r *run) func(notice) {
	var last notice
	return func(n notice) {
		if n.alive {
			select {
			case r.fed <- struct{}{}:
			default:
			}
			n.alive = false
		}
		if n.status != nil && last.status != nil && *n.status == *last.status {
			n.status = nil
		}
		if n.status != nil {
			last.status = n.status
		}
		if n.ready || n.stopping || n.status != nil || n.mainPID != 0 {
			c.post(noticeMsg{r, n})
		}
		if n.dying {
			c.post(healthMsg{r, errTrigger})
		}
	}
}

// onNotice: a process of the run says something of itself.
func (c *Cluster) onNotice(m noticeMsg) {
	r, n := m.run, m.notice
	if r.exited {
		return
	}
	if n.status != nil {
		r.says = *n.status
		if inst := r.inst; r.current() && inst.state == StateStarting {
			c.set(inst, StateStarting, r.says)
		}
	}
	if st, err := readStat(n.mainPID); n.mainPID != 0 && err == nil {
		r.main = member{n.mainPID, st}
	}
	if n.ready && r.inst.app.config.Ready.By == config.ByNotify {
		r.passed = true
		c.seekReady(r)
	}
	if n.stopping {
		r.leaves = true
		c.onStopping(r)
	}
}

// errTrigger is what a process says of itself that wants to be restarted.
var errTrigger = errors.New("it says WATCHDOG=trigger")

// pid is that of the run's leader, or of the process that it has named instead
// (MAINPID), as long as that lives.
func (r *run) pid() int {
	if r.main.pid != 0 {
		if st, err := readStat(r.main.pid); err == nil && !st.zombie && st.start == r.main.start {
			return r.main.pid
		}
	}
	return r.process.PID()
}

// onStopping: a run says that it is about to end, though nobody has asked it to.
// What it has is still answered; what comes goes to others.
func (c *Cluster) onStopping(r *run) {
	inst := r.inst
	if !r.current() || !r.serving() || inst.state == StateStopping {
		return
	}
	r.unwatch()
	inst.app.way.drain(r.place)(over)
	c.set(inst, StateStopping, "it says that it is stopping")
	c.event(inst.id, "says that it is stopping")
	r.deadline = time.AfterFunc(inst.app.config.StopTimeout, func() { c.post(overdueMsg{r}) })
}
