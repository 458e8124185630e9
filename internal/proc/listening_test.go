package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/port"
)

// looked counts how often the members of a process are looked at.
type looked struct {
	process
	times atomic.Int64
}

func (l *looked) Members() []int {
	l.times.Add(1)
	return nil
}

// Most servers listen at once; one that never does costs next to nothing.
func TestPollingSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var at []time.Duration
		begun := time.Now()
		p := &looked{}
		_, err := awaitListening(ctx, 1, p, func(string) {}, func(int) ([]port.Listening, error) {
			at = append(at, time.Since(begun))
			return nil, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
		within := func(d time.Duration) int {
			return len(at) - len(slices.DeleteFunc(slices.Clone(at), func(x time.Duration) bool { return x < d }))
		}
		if n := within(50 * time.Millisecond); n < 15 {
			t.Errorf("%d looks in 50ms, want one every few milliseconds", n)
		}
		if n := within(time.Hour); n > 3800 {
			t.Errorf("%d looks in an hour, want about one a second", n)
		}
		for i := range at[1:] {
			if gap := at[i+1] - at[i]; gap > max(at[i]/10, 2*time.Millisecond) {
				t.Fatalf("none for %s after %s", gap, at[i])
			}
		}
		if n := p.times.Load(); n < 500 || n > 800 {
			t.Errorf("%d looks for what is in the way in an hour, want one every 5s", n)
		}
	})
}

// A look that fails is not the last.
func TestPollingSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no buffer space available")
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		begun := time.Now()
		var hints []string
		_, err := awaitListening(ctx, 8000, &looked{}, func(text string) { hints = append(hints, text) }, func(int) ([]port.Listening, error) {
			if time.Since(begun) < 6*time.Second {
				return nil, broken
			}
			return nil, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
		want := []string{"cannot see whether it listens on $PORT (8000): no buffer space available", "not listening on $PORT (8000) yet"}
		if !slices.Equal(hints, want) {
			t.Errorf("hints %q, want %q", hints, want)
		}
	})
}

// Ready is who listens itself, not who was given the port of somebody else.
func TestOnlyItsOwnSocketMakesItReady(t *testing.T) {
	l := realLauncher(t)
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	at := stranger.Addr().(*net.TCPAddr).Port
	t.Setenv("PORT", strconv.Itoa(at))
	p := launchChild(t, l, "listen", discard(t), self())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer func() {
		cancel()
		p.End(ctx)
	}()
	served, err := (&relayWay{public: &relayPort{fixed: true}}).listening(place{port: at, private: at})(ctx, p, func(text string) {
		want := fmt.Sprintf("$PORT (%d) is served by somebody else (held by pid %d ", at, os.Getpid())
		if !strings.HasPrefix(text, want) {
			t.Errorf("hint %q, want %q", text, want)
		}
		stranger.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if port.HeldBy([]port.Listening{served.socket}, p.Members()) == nil {
		t.Error("the stranger's socket made it ready")
	}
}

// Of a process that nobody may look into, the user tells which sockets are its.
func TestSocketOfAProcessThatHides(t *testing.T) {
	l := realLauncher(t)
	at, err := port.NewPrivate(nil).Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PORT", strconv.Itoa(at))
	p := launchChild(t, l, "hide", discard(t), self())
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel()
		p.End(ctx)
	}()
	var found []port.Listening
	eventually(t, "a socket", func() any { return found }, func() bool {
		found, err = port.Listeners(at)
		return len(found) > 0
	})
	withoutPtrace(t, func() {
		if held := port.HeldBy(found, p.Members()); held != nil {
			t.Errorf("it does not hide at all: %v", held)
		}
		if got := own(found, p); !slices.Equal(got, found) {
			t.Errorf("own sockets %v, want %v", got, found)
		}
		found[0].UID++
		if got := own(found, p); got != nil {
			t.Errorf("the socket of another user counts as its own: %v", got)
		}
	})
}

// withoutPtrace calls do without the privilege to look into every process.
func withoutPtrace(t *testing.T, do func()) {
	t.Helper()
	runtime.LockOSThread() // whose capabilities are changed
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(&head, &all[0]); err != nil {
		t.Fatal(err)
	}
	less := all
	less[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
	if err := unix.Capset(&head, &less[0]); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Capset(&head, &all[0]); err != nil {
		t.Fatal(err)
	}
}
