package proc

import (
	"context"
	"fmt"
	"testing"

	"clusterd/internal/config"
	"clusterd/internal/traffic"
)

// street is a way on which generations overlap. It notes what it is asked.
type street struct {
	noPort
	busy  chan struct{} // not nil: a drain takes until it is closed
	noted *[]string
}

func (street) overlaps() bool { return true }

func (s street) note(what string, at place) {
	*s.noted = append(*s.noted, fmt.Sprintf("%s %d.%d", what, at.slot, at.generation))
}

func (s street) admit(at place, _ func() bool) { s.note("admit", at) }
func (s street) withdraw(at place)             { s.note("withdraw", at) }
func (s street) release(at place)              { s.note("release", at) }

func (s street) addSlot(slot int, _ *traffic.Counters) error {
	s.note("add", place{slot: slot})
	return nil
}

func (s street) removeSlot(slot int) func(context.Context) {
	s.note("remove", place{slot: slot})
	return func(context.Context) {}
}

func (s street) drain(at place) func(context.Context) {
	s.note("drain", at)
	return func(ctx context.Context) {
		if s.busy == nil {
			return
		}
		select {
		case <-s.busy:
		case <-ctx.Done():
		}
	}
}

func (street) listening(at place) func(context.Context, process, func(string)) (place, error) {
	return func(ctx context.Context, p process, hint func(string)) (place, error) {
		fake := p.(*fakeProcess)
		serves := fake.serves
		if serves == nil && !fake.mute {
			return at, nil
		}
		hint("it thinks")
		select {
		case <-serves:
			return at, nil
		case <-ctx.Done():
			return at, ctx.Err()
		}
	}
}

// runStreet runs a cluster of one app, "a", whose generations overlap.
func runStreet(t *testing.T, behave func(n int, p *fakeProcess) error, a config.App) (*fakeCluster, *street) {
	f := newFake(t, behave, a)
	s := &street{noted: new([]string)}
	f.apps[0].way.way = s
	f.os.overlaps = true
	f.run(false)
	return f, s
}
