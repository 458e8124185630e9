package relay

import (
	"sync"
	"time"
)

// rarely is how often a sentence of one kind is said at most: what is wrong
// with one connection is usually wrong with thousands.
const rarely = time.Minute

// rare passes sentences on to say, of each kind the first one in a while.
type rare struct {
	say func(string) // nil: nobody listens

	mu   sync.Mutex
	said map[string]time.Time // by kind
}

// log says kind, with err if that is not nil.
func (r *rare) log(kind string, err error) {
	if r.say == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if at, ok := r.said[kind]; ok && now.Sub(at) < rarely {
		return
	}
	if r.said == nil {
		r.said = map[string]time.Time{}
	}
	r.said[kind] = now
	if err != nil {
		kind += ": " + err.Error()
	}
	r.say(kind)
}
