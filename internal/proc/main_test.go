package proc

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"clusterd/internal/setup"
)

// childVariable makes this test binary the child of a test: it holds what the
// child is to do, see child.
const childVariable = "CLUSTERD_TEST_CHILD"

func TestMain(m *testing.M) {
	if setup.Ordered() {
		setup.Run()
	}
	if IsGuardian() {
		RunGuardian()
		os.Exit(0)
	}
	if job := os.Getenv(childVariable); job != "" {
		os.Exit(child(strings.Fields(job)))
	}
	goleak.VerifyTestMain(m,
		// A launcher lives as long as its process.
		goleak.IgnoreTopFunction("clusterd/internal/proc.newThread.func1"),
		goleak.IgnoreTopFunction("clusterd/internal/proc.(*launcher).reapOrphans"),
		goleak.IgnoreTopFunction("clusterd/internal/proc.(*launcher).noteOrphans"),
		goleak.IgnoreTopFunction("clusterd/internal/proc.(*guard).talk"),
		goleak.IgnoreAnyFunction("clusterd/internal/proc.(*guardian).await"),
		goleak.IgnoreAnyFunction("os/signal.loop"),
	)
}

// A parent-death signal is the property of one thread: that of main, here.
func init() {
	if os.Getenv(childVariable) == "pdeathsig" {
		runtime.LockOSThread()
	}
}

// childLife bounds how long a child lives that nobody ends.
const childLife = 2 * time.Minute

// child does a job and returns the exit code.
func child(job []string) int {
	switch job[0] {
	case "wait": // until it is ended
		fmt.Println("waiting", os.Getpid())
	case "deaf": // to signals that can be ignored
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		fmt.Println("deaf", os.Getpid())
	case "flood":
		n, _ := strconv.Atoi(job[1])
		floodOf(n)
		return 0
	case "exit":
		code, _ := strconv.Atoi(job[1])
		return code
	case "pdeathsig":
		var sig int32
		if err := unix.Prctl(unix.PR_GET_PDEATHSIG, pointer(&sig), 0, 0, 0); err != nil {
			return 1
		}
		fmt.Println("dies with its parent of", syscall.Signal(sig))
		return 0
	case "family": // children of every kind, which all hear nothing
		spawn("deaf", false)
		spawn("deaf", true)
		if err := spawn("daemonize", true).Wait(); err != nil {
			return 1
		}
		fmt.Println("family complete")
	case "daemonize": // the second fork of a daemon; its parent made the session
		spawn("deaf", true)
		return 0
	case "launder": // a child that nothing but its parent ties to the instance
		cmd := exec.Command(self())
		cmd.Env = []string{childVariable + "=deaf"}
		cmd.Stdout = os.Stdout
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return 1
		}
	case "polite-family": // of which nobody is told to end by a parent
		spawn("polite", true)
		spawn("daemonize-polite", true)
		fmt.Println("family complete")
	case "daemonize-polite":
		spawn("polite", true)
		return 0
	case "polite":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("polite", os.Getpid())
		<-stop
		fmt.Println("polite bye")
		return 0
	case "leave": // a child behind, with the output
		spawn("deaf", true)
		return 3
	case "listen", "hide": // on $PORT, as soon as nobody else does
		if job[0] == "hide" { // nobody may look into it without privilege
			if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
				return 1
			}
		}
		for {
			l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
			if err == nil {
				fmt.Println("listening at", l.Addr())
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	case "notify", "notify-stopping", "notify-watchdog":
		return notifyChild(job[0])
	case "supervise": // one instance, without ever ending it
		l, err := newLauncher()
		if err != nil {
			return 1
		}
		_ = os.Setenv(childVariable, "wait")
		if _, err := l.start(spec{args: []string{self()}, env: os.Environ(), dir: "/", stdout: os.Stdout, stderr: os.Stderr}); err != nil {
			return 1
		}
	}
	time.Sleep(childLife)
	return 99
}

// notifyChild speaks sd_notify. Of two generations they do different things.
func notifyChild(job string) int {
	first := os.Getenv("CLUSTERD_GENERATION") == "1"
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		return 1
	}
	send := func(text string) { _, _ = conn.Write([]byte(text)) }
	barrier := func() { // returns when all that was sent has been read
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		raw, err := conn.SyscallConn() // a connected UnixConn sends no descriptors by itself
		if err != nil {
			panic(err)
		}
		if err := raw.Write(func(fd uintptr) bool {
			err = unix.Sendmsg(int(fd), []byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), nil, 0)
			return err != unix.EAGAIN
		}); err != nil {
			panic(err)
		}
		if err != nil {
			panic(err)
		}
		w.Close()
		_, _ = r.Read(make([]byte, 1)) // until nobody has the other end any more
	}
	send("\x00\xff\nREADY\nMAINPID=1")
	send(strings.Repeat("READY=1\n", 10_000)) // too long, if it can be sent at all
	fmt.Println("notify socket", os.Getenv("NOTIFY_SOCKET"))
	fmt.Println("WATCHDOG_USEC is", os.Getenv("WATCHDOG_USEC"))
	switch {
	case job == "notify-stopping":
		send("READY=1")
		if first {
			send("STOPPING=1")
			barrier() // else its end may be seen first
			return 0
		}
	case job == "notify-watchdog" && first:
		send("READY=1\nWATCHDOG=1")
	case job == "notify-watchdog":
		send("READY=1\nWATCHDOG=trigger")
	case os.Getenv("NOTIFY_LEVEL") == "below": // what the leader of the second generation starts
		fmt.Println("main is", os.Getpid())
		send(fmt.Sprintf("READY=1\nSTATUS=ready of child\nMAINPID=%d", os.Getpid()))
		barrier()
		fmt.Println("barrier passed")
	case first:
		send("STATUS=warming up")
	default:
		_ = os.Setenv("NOTIFY_LEVEL", "below")
		spawn("notify", false)
	}
	time.Sleep(childLife)
	return 99
}

func self() string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return exe
}

// spawn starts this binary for a job, with the same output.
func spawn(job string, session bool) *exec.Cmd {
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd
}
