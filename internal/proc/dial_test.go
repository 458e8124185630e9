package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// phone is a street whose instances say who they are.
type phone struct {
	street
	mute error // not nil: why they cannot be reached
}

func (p *phone) dialer(at place) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		if p.mute != nil {
			return nil, p.mute
		}
		ours, theirs := net.Pipe()
		go func() {
			fmt.Fprintf(theirs, "%d.%d", at.slot, at.generation)
			theirs.Close()
		}()
		return ours, nil
	}
}

func runPhone(t *testing.T, behave func(n int, p *fakeProcess) error, a config.App) (*fakeCluster, *phone) {
	f := newFake(t, behave, a)
	p := &phone{street: street{noted: new([]string)}}
	f.apps[0].way.way = p
	f.os.overlaps = true
	f.run(false)
	return f, p
}

// reaches checks which generation Dial connects to.
func (f *fakeCluster) reaches(target, want string) {
	f.t.Helper()
	conn, err := f.Dial(f.t.Context(), target)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	if b, err := io.ReadAll(conn); string(b) != want || err != nil {
		f.t.Errorf("reached %s (%v), want %s", b, err, want)
	}
}

func (f *fakeCluster) doesNotReach(target, want string) {
	f.t.Helper()
	conn, err := f.Dial(f.t.Context(), target)
	if err == nil {
		conn.Close()
	}
	if err == nil || err.Error() != want {
		f.t.Errorf("%v, want %s", err, want)
	}
}

// The instance that is asked for is reached in every state in which it has a
// process, and its predecessor as long as that serves.
func TestDialReachesOneGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serves := make(chan struct{})
		a := worker("a", 2)
		f, _ := runPhone(t, func(n int, p *fakeProcess) error {
			if n > 2 {
				p.serves = serves
			}
			return nil
		}, a)
		f.reaches("a/0", "0.1")
		f.reaches("a/1", "1.1")
		answer := f.begins(VerbReload, "a/1")
		f.reaches("a/1", "1.1")
		close(serves)
		synctest.Wait()
		if err := <-answer; err != nil {
			t.Error(err)
		}
		f.reaches("a/1", "1.2")
		f.reaches("a/0", "0.1")
	})
}

func TestDialWhileStartingAndStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := runPhone(t, func(_ int, p *fakeProcess) error {
			p.mute, p.deaf = true, true
			return nil
		}, worker("a", 1))
		f.reaches("a/0", "0.1")
		p.mute = port.ErrNotListening
		f.doesNotReach("a/0", "cannot reach a/0, which is starting: it thinks")
		p.mute = port.ErrInexact
		f.doesNotReach("a/0", "cannot reach a/0, which is starting: the kernel chooses the instance at this address")
		p.mute = nil
		stopped := f.begins(VerbStop)
		f.reaches("a/0", "0.1")
		f.os.last("a/0").exit(0)
		synctest.Wait()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		f.doesNotReach("a/0", "cannot reach a/0: it has no process, it is stopped")
	})
}

func TestDialOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			if p.slot == "b/0" {
				p.exitAfter(0, 3)
			}
			return nil
		}, worker("a", 2), worker("b", 1))
		f.after(40 * time.Millisecond)
		f.doesNotReach("a/0", "cannot reach a/0, which is ready: it is a worker and has no port")
		f.doesNotReach("b/0", "cannot reach b/0: it has no process, it is backoff: exit 3")
		f.doesNotReach("a", "cannot reach a: it is an app; name one of its instances, such as a/0")
		f.doesNotReach("b", "cannot reach b: it is an app; name one of its instances, such as b/0")
		f.doesNotReach("a/2", `no instance "a/2": a has a/0 to a/1`)
		f.doesNotReach("c/0", `no app "c/0": the cluster has a, b`)
		f.doesNotReach("", `no app "": the cluster has a, b`)
		f.stop()
		<-f.done
		if _, err := f.Dial(t.Context(), "a/0"); !errors.Is(err, ErrDown) {
			t.Errorf("%v, want %v", err, ErrDown)
		}
	})
}

// A snapshot tells since when an instance is in its state, and when it is started
// again.
func TestSinceAndRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			p.exitAfter(5*time.Second, 3)
			return nil
		}, worker("a", 1))
		since := func(id string, want time.Duration) {
			t.Helper()
			if got := f.instance(id).Since.Sub(f.begun); got != want {
				t.Errorf("%s since %s, want %s", id, got, want)
			}
		}
		f.after(4 * time.Second)
		since("a/0", 0)
		if at := f.instance("a/0").RetryAt; at != nil {
			t.Errorf("a ready instance is to be started at %s", at)
		}
		f.after(9 * time.Second) // the first failure is answered at once
		since("a/0", 5*time.Second)
		f.after(10*time.Second + 50*time.Millisecond)
		since("a/0", 10*time.Second)
		in := f.instance("a/0")
		if in.State != StateBackoff || in.RetryAt == nil || in.RetryAt.Sub(f.begun) != 10*time.Second+150*time.Millisecond {
			t.Errorf("%+v", in)
		}
	})
}
