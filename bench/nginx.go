package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nginxCommon is what both configs of nginx begin with; %[1]s is a folder that
// it may write to.
const nginxCommon = `daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log warn;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
`

// upstreamApp is a cluster whose only instance is the upstream of both proxies.
type upstreamApp struct {
	cluster *cluster
	port    int // of the relay
}

// startUpstream runs the upstream as an instance behind the relay, and returns
// its private port as well.
func startUpstream(dir, clusterd string) (upstreamApp, int, error) {
	var u upstreamApp
	own := filepath.Join(dir, "upstream")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return u, 0, err
	}
	nginx, err := findTool("nginx")
	if err != nil {
		return u, 0, err
	}
	conf := "worker_processes 1;\n" + fmt.Sprintf(nginxCommon, own) + `
	server {
		listen 127.0.0.1:PORT;
		location / { default_type text/plain; return 200 "` + strings.Repeat("x", 1024) + `"; }
	}
}
`
	if err := os.WriteFile(own+"/template", []byte(conf), 0o644); err != nil {
		return u, 0, err
	}
	if u.port, err = freePort(); err != nil {
		return u, 0, err
	}
	command := fmt.Sprintf("cd %s && echo $PORT > port && sed s/:PORT/:$PORT/ template > conf && exec %s -p . -e error.log -c conf", own, nginx)
	u.cluster, err = startCluster(filepath.Join(dir, "cluster"), clusterd,
		fmt.Sprintf("[apps.web]\ncommand = %q\nport = %d\nhost = \"127.0.0.1\"\nlisten = \"relay\"\nstop_signal = \"SIGTERM\"\n", command, u.port))
	if err != nil {
		return u, 0, err
	}
	if _, err := u.cluster.awaitReady(0); err != nil {
		u.cluster.stop()
		return u, 0, err
	}
	b, err := os.ReadFile(own + "/port")
	if err == nil {
		var private int
		if private, err = strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return u, private, nil
		}
	}
	u.cluster.stop()
	return u, 0, err
}

// proxyServer is nginx as a reverse proxy.
type proxyServer struct {
	cmd  *exec.Cmd
	port int
}

func startProxy(dir string, upstream int) (*proxyServer, error) {
	own := filepath.Join(dir, "proxy")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	nginx, err := findTool("nginx")
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("worker_processes %d;\n", runtime.NumCPU()) + fmt.Sprintf(nginxCommon, own) + fmt.Sprintf(`
	upstream app {
		server 127.0.0.1:%d;
		keepalive %d;
		keepalive_requests 1000000000;
	}
	server {
		listen 127.0.0.1:%d reuseport;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`, upstream, 4*connections, port)
	if err := os.WriteFile(own+"/conf", []byte(conf), 0o644); err != nil {
		return nil, err
	}
	p := &proxyServer{port: port, cmd: exec.Command(nginx, "-p", own, "-e", own+"/error.log", "-c", own+"/conf")}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := ask(port)
		if err == nil && len(childrenOf(p.cmd.Process.Pid)) >= runtime.NumCPU() {
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			said, _ := os.ReadFile(own + "/error.log")
			return nil, fmt.Errorf("nginx does not serve: %w\n%s", err, said)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *proxyServer) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}
