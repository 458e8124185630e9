package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// childVariable makes a process of this test binary an instance, not a test.
const childVariable = "E2E_CHILD"

// child is the life of an instance; it returns its exit code. What a test has
// to wait for is said on stdout.
func child(mode string) int {
	switch mode {
	case "http":
		return serve()
	case "sleep": // ends with the first SIGTERM
		fmt.Println("sleeping, pid", os.Getpid())
		return block()
	case "ignoreterm":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		fmt.Println("ignoring signals, pid", os.Getpid())
		return block()
	case "crash": // exits with $E2E_CODE
		code, err := strconv.Atoi(os.Getenv("E2E_CODE"))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stderr, "last words")
		return code
	case "grandchild":
		return fork()
	case "stdout-holder":
		return leaveHolder()
	case "escape": // the middle of a daemon's double fork
		return must(spawn(os.Args[1], os.Environ(), nil))
	case "chatter": // writes until it is ended
		for i := range 600_000 {
			if _, err := fmt.Println("chatter", i); err != nil {
				return 7
			}
			time.Sleep(time.Millisecond)
		}
		return 0
	}
	panic("no such child: " + mode)
}

func must(_ int, err error) int {
	if err != nil {
		panic(err)
	}
	return 0
}

// serve is an HTTP server on $PORT that stops gracefully on SIGTERM:
//
//	/       names the instance, with its pid
//	/slow   answers when SIGTERM has come
//	/never  does not answer
func serve() int {
	me := os.Getenv("CLUSTERD_APP") + "/" + os.Getenv("CLUSTERD_INSTANCE")
	stop, unnotify := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer unnotify()

	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %d", me, os.Getpid())
	})
	mux.HandleFunc("/say", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("said", r.URL.RawQuery)
		fmt.Fprintln(os.Stderr, "complained", r.URL.RawQuery)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("slow request begun")
		<-stop.Done()
		fmt.Fprint(w, "slow but sure")
	})
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("endless request begun")
		<-r.Context().Done()
	})

	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("listening")
	server := &http.Server{Handler: mux}
	drained := make(chan error)
	go func() {
		<-stop.Done()
		drained <- server.Shutdown(context.Background())
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(err)
	}
	if err := <-drained; err != nil {
		panic(err)
	}
	fmt.Println("bye")
	return 0
}

// fork starts one process in its own group and one that has left it, its
// session and its parents, and sleeps.
func fork() int {
	must(spawn("sleep", os.Environ(), nil))
	must(spawn("escape", os.Environ(), &syscall.SysProcAttr{Setsid: true}, "ignoreterm"))
	fmt.Println("forked")
	return block()
}

// block waits to be ended by a signal, but not for ever: no mistake in a test
// may leave a process behind for good.
func block() int {
	time.Sleep(10 * time.Minute)
	return 1
}

// leaveHolder exits with code 0 on SIGTERM and leaves a process behind that keeps
// stdout open and that nothing ties to the instance any more: another session,
// another parent, another environment.
func leaveHolder() int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	must(spawn("escape", []string{}, &syscall.SysProcAttr{Setsid: true}, "sleep"))
	<-stop
	return 0
}

// spawn starts another child, which says its own pid.
func spawn(mode string, env []string, attr *syscall.SysProcAttr, args ...string) (pid int, err error) {
	cmd := exec.Command(childBinaryOfChild(), args...)
	cmd.Env = append(env, childVariable+"="+mode)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

func childBinaryOfChild() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}
