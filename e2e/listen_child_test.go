package e2e

import (
	"bufio"
	"fmt"
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

// listenChildren are instances that know their address from their arguments
// alone: pairs of a network and an address, as net.Listen takes them.
var listenChildren = map[string]func() error{
	"listen":        listenAll,
	"listen-twice":  listenTwice,
	"fickle-listen": listenWhenTold,
	"probe":         probeAndListen,
	"reopen":        listenAgainOnSignal,
	"ledger":        serveLedger,
	"inherit":       serveInherited,
	"epoll-first":   listenWithEpoll,
	"meddle":        meddleOnSignal,
	"daemon":        becomeDaemon,
}

func listenChild(listen func() error) int {
	if err := listen(); err != nil {
		fmt.Println("cannot listen:", err)
		return 1
	}
	return block()
}

// listenAll serves all addresses.
func listenAll() error {
	for args := os.Args[1:]; len(args) > 0; args = args[2:] {
		if _, err := serveOn(args[0], args[1]); err != nil {
			return err
		}
	}
	fmt.Println("listening, pid", os.Getpid())
	return nil
}

// listenWhenTold is listenAll, once its folder has a file "go".
func listenWhenTold() error {
	fmt.Println("about to listen")
	for _, err := os.Stat("go"); err != nil; _, err = os.Stat("go") {
		time.Sleep(10 * time.Millisecond)
	}
	return listenAll()
}

// serveOn answers in the background until the listener is closed.
func serveOn(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	answerOn(l)
	return l, nil
}

func answerOn(l net.Listener) {
	body := hello()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
	}()
}

// listenTwice first binds the first address, which is for IPv4, without
// listening, and tries that again. It serves that address, then tries to listen
// on all of them, in its own process and in another one. It says how each try has
// gone.
func listenTwice() error {
	at, err := net.ResolveTCPAddr(os.Args[1], os.Args[2])
	if err != nil {
		return err
	}
	var sockets [2]int
	for i := range sockets {
		if sockets[i], err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		err = syscall.Bind(sockets[i], &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())})
		if i == 0 && err != nil {
			return err
		}
	}
	fmt.Printf("bound again to %s: %v\n", at, err)
	for _, s := range sockets {
		syscall.Close(s)
	}
	if _, err := serveOn(os.Args[1], os.Args[2]); err != nil {
		return err
	}
	for args := os.Args[1:]; len(args) > 0; args = args[2:] {
		_, err := net.Listen(args[0], args[1])
		fmt.Printf("once more, on %s: %v\n", args[1], err)
		cmd := exec.Command(childBinaryOfChild(), args[:2]...)
		cmd.Env = append(os.Environ(), childVariable+"=listen")
		out, err := cmd.Output()
		fmt.Printf("another process, on %s: %v: %s\n", args[1], err, out)
	}
	fmt.Println("tried all")
	return nil
}

// probeAndListen does before it serves the first address what programs do that
// look for a free port: it listens on all addresses, and stops at once.
func probeAndListen() error {
	for range 3 {
		for args := os.Args[1:]; len(args) > 0; args = args[2:] {
			l, err := net.Listen(args[0], args[1])
			if err != nil {
				return err
			}
			l.Close()
		}
	}
	if _, err := serveOn(os.Args[1], os.Args[2]); err != nil {
		return err
	}
	fmt.Println("looked for a port")
	return nil
}

// listenAgainOnSignal serves the first address, stops that on SIGUSR1, and does
// it again on SIGUSR2.
func listenAgainOnSignal() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	for {
		l, err := serveOn(os.Args[1], os.Args[2])
		if err != nil {
			return err
		}
		fmt.Println("open")
		<-signals
		l.Close()
		fmt.Println("closed")
		<-signals
	}
}

// listenWithEpoll registers its socket with epoll before it binds it to $PORT, and
// accepts by nothing else.
func listenWithEpoll() error {
	port, err := strconv.Atoi(os.Getenv("PORT"))
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 64); err != nil {
		return err
	}
	for events := make([]unix.EpollEvent, 1); ; {
		if _, err := unix.EpollWait(epoll, events, -1); err != nil && err != unix.EINTR {
			return err
		}
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			continue
		}
		go answerOnce(os.NewFile(uintptr(conn), "connection"))
	}
}

// answerOnce answers one request of a connection, and closes it.
func answerOnce(conn *os.File) {
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	body := hello()
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func hello() string {
	return fmt.Sprintf("hello from pid %d (%s/%s)\n", os.Getpid(), os.Getenv("CLUSTERD_APP"), os.Getenv("CLUSTERD_INSTANCE"))
}

// meddleOnSignal serves the first address, for IPv4, and does unusual things to
// its listener: SIGUSR1 detaches the steering program, SIGUSR2 shuts it down, or
// lets it listen again.
func meddleOnSignal() error {
	at, err := net.ResolveTCPAddr(os.Args[1], os.Args[2])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	accept := func() {
		for {
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == unix.EINVAL {
				return // it has been shut down
			}
			if err == nil {
				go answerOnce(os.NewFile(uintptr(conn), "connection"))
			}
		}
	}
	for listens := false; ; {
		if !listens {
			if err := unix.Listen(fd, 64); err != nil {
				return err
			}
			go accept()
			listens = true
			fmt.Println("open")
		}
		if <-signals == syscall.SIGUSR1 {
			fmt.Println("detached:", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0))
			continue
		}
		if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
			return err
		}
		fmt.Println("shut")
		<-signals
		listens = false
	}
}

// becomeDaemon leaves the serving to a process in a session of its own, and ends,
// as servers do that put themselves into the background.
func becomeDaemon() error {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(childBinaryOfChild(), os.Args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"=listen")
	cmd.Stdout = theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}
