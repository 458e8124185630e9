package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable makes a process of this test binary an instance, not a test.
const childVariable = "E2E_CHILD"

// child is the life of an instance; it returns its exit code. What a test has
// to wait for is said on stdout.
func child(mode string) int {
	switch mode {
	case "http":
		return serve()
	case "reuseport": // on the public port, as a sibling of others
		return serveShared(true)
	case "reuseport-tcp":
		return serveShared(false)
	case "fickle": // does what the file says that a test has written, in its folder
		switch does, _ := os.ReadFile("fickle"); string(does) {
		case "crash":
			fmt.Fprintln(os.Stderr, "no database")
			return 3
		case "hang":
			return block()
		}
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
	case "undumpable":
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			panic(err)
		}
		return serve()
	case "refuse":
		fmt.Fprintln(os.Stderr, refuse())
		return 1
	case "chatter": // writes until it is ended
		for i := range 600_000 {
			if _, err := fmt.Println("chatter", i); err != nil {
				return 7
			}
			time.Sleep(time.Millisecond)
		}
		return 0
	}
	if listen := listenChildren[mode]; listen != nil {
		return listenChild(listen)
	}
	panic("no such child: " + mode)
}

func must(_ int, err error) int {
	if err != nil {
		panic(err)
	}
	return 0
}

// serve is an HTTP server on $PORT, or on the socket that it was given (LISTEN_FDS),
// that stops gracefully on SIGTERM:
//
//	/       names the instance, with its pid
//	/slow   answers when SIGTERM has come
//	/never  does not answer
//	/health is 503 while there is a file sick-INDEX
//	/echo   says what it was asked; with ?503, with that status
//	/sum    says how long the request's body is
//	/large  answers with ?N bytes
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
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if code, err := strconv.Atoi(r.URL.RawQuery); err == nil {
			w.WriteHeader(code)
		}
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s of %s with %q, %q, %v\n", r.Method, r.URL, r.Host, r.Header["X-Test"], body, err)
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, n, err)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", r.URL.RawQuery)
		n, _ := strconv.Atoi(r.URL.RawQuery)
		_, _ = w.Write(make([]byte, n)) // the client may go
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat("sick-" + os.Getenv("CLUSTERD_INSTANCE")); err == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
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

	l, err := net.FileListener(os.NewFile(3, "given"))
	if os.Getenv("LISTEN_FDS") == "" {
		l, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	}
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
