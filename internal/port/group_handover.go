package port

import (
	"fmt"

	"clusterd/internal/handover"
)

// GroupState is what is handed over of a Group.
type GroupState struct {
	Addrs []groupAddr
	Slots map[int][]int // descriptors
}

// HandOver ends the Group without closing its sockets. Whoever accepts from
// Listeners has to stop before.
func (g *Group) HandOver(b *handover.Bag) GroupState {
	st := GroupState{g.addrs, g.slots}
	g.slots = map[int][]int{}
	for _, fds := range st.Slots {
		for _, fd := range fds {
			b.Keep(fd)
		}
	}
	return st
}

// TakeGroup returns the Group that was handed over.
func TakeGroup(st GroupState, b *handover.Bag) (*Group, error) {
	g := &Group{addrs: st.Addrs, slots: map[int][]int{}}
	for slot, fds := range st.Slots {
		for _, fd := range fds {
			if _, err := b.Take(fd); err != nil {
				g.Close()
				return nil, fmt.Errorf("take over the sockets of slot %d: %w", slot, err)
			}
			g.slots[slot] = append(g.slots[slot], fd)
		}
	}
	return g, nil
}
