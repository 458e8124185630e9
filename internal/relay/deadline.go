package relay

import "time"

// SetDeadline is that of net.Conn.
func (s *socket) SetDeadline(by time.Time) error {
	_ = s.setDeadline(&s.in, by)
	return s.setDeadline(&s.out, by)
}

// SetReadDeadline is that of net.Conn.
func (s *socket) SetReadDeadline(by time.Time) error { return s.setDeadline(&s.in, by) }

// SetWriteDeadline is that of net.Conn.
func (s *socket) SetWriteDeadline(by time.Time) error { return s.setDeadline(&s.out, by) }

// setDeadline costs little where a deadline is only put off, or lifted: the timer is
// left to ring early, which it finds out then.
func (s *socket) setDeadline(d *direction, by time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil // whoever reads or writes is told that
	}
	d.by = by
	d.expired = false
	if by.IsZero() {
		return nil
	}
	left := time.Until(by)
	switch {
	case left <= 0:
		d.expired = true
		s.changed.Broadcast()
	case d.rings.IsZero() || by.Before(d.rings):
		s.ringIn(d, left)
	}
	return nil
}

// ringIn sets the timer. mu is held.
func (s *socket) ringIn(d *direction, left time.Duration) {
	d.rings = d.by
	if d.timer == nil {
		d.timer = time.AfterFunc(left, func() { s.ring(d) })
		return
	}
	d.timer.Reset(left)
}

// ring finds out whether the deadline has passed.
func (s *socket) ring(d *direction) {
	if pair := s.pass(d); pair != nil {
		pair.stir()
	}
}

// pass lets a deadline pass, and returns whom to stir if it has.
func (s *socket) pass(d *direction) *pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.rings = time.Time{}
	if s.closed || d.by.IsZero() || d.expired {
		return nil
	}
	if left := time.Until(d.by); left > 0 {
		s.ringIn(d, left)
		return nil
	}
	d.expired = true
	s.changed.Broadcast()
	return s.pair
}

// stop ends the timer for good. socket.mu is held.
func (d *direction) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
