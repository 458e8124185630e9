package tui

import (
	"fmt"
	"time"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

const (
	// lostAfter is how long there may be no answer until that is said: clusterd
	// upgrade replaces the daemon in less, and nobody has to notice.
	lostAfter = time.Second
	// retryEvery is how often a lost cluster is asked whether it is back.
	retryEvery = time.Second
)

// onNoSnapshot is for when the cluster does not answer. What was last known stays
// on the screen.
func (m *model) onNoSnapshot(err error) {
	if m.snap != nil && m.now().Sub(m.snapAt) < lostAfter {
		return // the next tick asks again
	}
	m.lost = err
	m.retryAt = m.now().Add(retryEvery)
	m.changed()
}

// notePassing says what has become of the cluster's daemon between two snapshots,
// where that is no more of the same. A daemon that has been replaced by clusterd
// upgrade is the same process, and its log goes on; a daemon that has been started
// anew knows nothing of what was before.
func (m *model) notePassing(old, s *proc.Snapshot) {
	switch {
	case old == nil:
	case old.PID != s.PID || s.Uptime < old.Uptime || s.LogSeq < old.LogSeq:
		m.logs.renew()
		m.recent = recent{}
		m.detail.forget()
		m.say(fmt.Sprintf("the cluster has been started anew, by pid %d", s.PID))
	case old.Version != s.Version:
		m.say(fmt.Sprintf("clusterd has been upgraded, from %s to %s", old.Version, s.Version))
	case m.lost != nil:
		m.say(fmt.Sprintf("the cluster answers again, after %s", figure.Span(m.now().Sub(m.snapAt).Seconds())))
	}
}
