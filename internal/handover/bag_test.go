package handover

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage has this binary, started by a test, hand over and take over.
const stage = "HANDOVER_STAGE"

type figures struct {
	PID  int
	Pipe int
	At   time.Time
}

func TestMain(m *testing.M) {
	if os.Getenv(stage) == "" {
		os.Exit(m.Run())
	}
	b, err := Received()
	switch {
	case err != nil:
		fmt.Println("received:", err)
	case b == nil:
		fmt.Println("handed over:", handOver())
	default:
		fmt.Println("took over:", takeOver(b))
	}
}

func handOver() error {
	runtime.LockOSThread()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if _, err := unix.Write(pipe[1], []byte("still here")); err != nil {
		return err
	}
	b := NewBag()
	b.Keep(pipe[1]) // nobody takes it
	if err := b.Pack("figures", figures{os.Getpid(), b.Keep(pipe[0]), time.Unix(1, 2)}); err != nil {
		return err
	}
	if err := b.Exec("/does/not/exist"); err == nil || !cloexec(pipe[0]) {
		return fmt.Errorf("of a failed execution: %v, closed in the next %v", err, cloexec(pipe[0]))
	}
	if os.Getenv(stage) == "foreign" {
		b.parts["figures"] = []byte{0xff}
	}
	return b.Exec("/proc/self/exe")
}

func takeOver(b *Bag) error {
	var f figures
	if err := b.Unpack("figures", &f); err != nil {
		return err
	}
	if f.PID != os.Getpid() || !f.At.Equal(time.Unix(1, 2)) || !cloexec(f.Pipe) || os.Getenv(variable) != "" {
		return fmt.Errorf("%+v in pid %d", f, os.Getpid())
	}
	fd, err := b.Take(f.Pipe)
	if err != nil {
		return err
	}
	if _, err := b.Take(f.Pipe); err == nil {
		return fmt.Errorf("a descriptor was taken twice")
	}
	if err := b.Unpack("more", &f); err == nil {
		return fmt.Errorf("there is more than was packed")
	}
	b.Close() // the pipe's other end
	said := make([]byte, 100)
	n, err := unix.Read(fd, said)
	if err != nil {
		return err
	}
	if end, err := unix.Read(fd, said[n:]); end != 0 || err != nil {
		return fmt.Errorf("the pipe goes on: %d, %v", end, err)
	}
	return fmt.Errorf("%s", said[:n])
}

func cloexec(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC != 0
}

func runStage(t *testing.T, name string, env ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, stage+"="+name)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return out.String()
}

func TestHandOver(t *testing.T) {
	if got := runStage(t, "whole"); got != "took over: still here\n" {
		t.Error(got)
	}
}

func TestWhatCannotBeTaken(t *testing.T) {
	if got := runStage(t, "foreign"); !strings.Contains(got, "unpack figures") && !strings.Contains(got, "take over") && !strings.Contains(got, "hand over") {
		t.Error(got)
	}
	if got := runStage(t, "whole", variable+"=many"); got != "received: take over: CLUSTERD_HANDOVER=many names no descriptor\n" {
		t.Error(got)
	}
	if got := runStage(t, "whole", variable+"=0"); !strings.HasPrefix(got, "received: take over: ") {
		t.Error(got)
	}
}

// A bag that was cut off, or is of another version, is refused whole.
func TestReadOfWhatIsNoBag(t *testing.T) {
	b := NewBag()
	if err := b.Pack("figures", figures{PID: 1}); err != nil {
		t.Fatal(err)
	}
	f, err := b.write()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	for size := range info.Size() {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if _, err := read(f); err == nil {
			t.Errorf("%d of %d bytes are enough", size, info.Size())
		}
		if _, err := f.WriteAt(whole, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read(f); err != nil {
		t.Error(err)
	}
	raw, err := encoding.Marshal(document{Format: Format + 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("it has format %d, and this program takes %d", Format+1, Format)
	if _, err := read(f); err == nil || err.Error() != want {
		t.Errorf("of another version: %v, want %s", err, want)
	}
}
