package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nginxCommon is what the configs of nginx begin with; %[1]s is a folder that
// it may write to.
const nginxCommon = `daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log warn;
events { worker_connections 8192; }
http {
	access_log off;
	keepalive_requests 1000000000;
	keepalive_timeout 600;
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
		root .;
		location = / { default_type text/plain; return 200 "` + strings.Repeat("x", 1024) + `"; }
	}
}
`
	for name, content := range map[string]string{
		"template": conf, "64k": strings.Repeat("x", 64<<10), "1m": strings.Repeat("x", 1<<20),
	} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(content), 0o644); err != nil {
			return u, 0, err
		}
	}
	if u.port, err = freePort(); err != nil {
		return u, 0, err
	}
	command := fmt.Sprintf("cd %s && echo $PORT > port && sed s/:PORT/:$PORT/ template > conf && exec taskset -c %d %s -p . -e error.log -c conf", own, loadCPU(), nginx)
	u.cluster, err = startClusterOn(proxyCPU(), filepath.Join(dir, "cluster"), clusterd,
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

// proxyKind is a reverse proxy to compare with.
type proxyKind struct {
	name, tool string
	config     func(dir string, upstream, port int) string
	args       func(dir string) []string
	forks      bool // the work is done by its child
}

var proxyKinds = []proxyKind{
	{"nginx", "nginx", nginxProxy(`
	upstream app {
		server 127.0.0.1:%[2]d;
		keepalive 1024;
		keepalive_requests 1000000000;
	}
	server {
		listen 127.0.0.1:%[3]d;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`), nginxArgs, true},
	{"nginx, 1:1", "nginx", nginxProxy(`
	server {
		listen 127.0.0.1:%[3]d;
		location / {
			proxy_pass http://127.0.0.1:%[2]d;
			proxy_http_version 1.1;
		}
	}
}
`), nginxArgs, true},
	{"haproxy", "haproxy", haproxyConfig, func(dir string) []string { return []string{"-db", "-f", dir + "/conf"} }, false},
}

func nginxProxy(servers string) func(string, int, int) string {
	return func(dir string, upstream, port int) string {
		return fmt.Sprintf("worker_processes 1;\n"+nginxCommon+servers, dir, upstream, port)
	}
}

func nginxArgs(dir string) []string {
	return []string{"-p", dir, "-e", dir + "/error.log", "-c", dir + "/conf"}
}

func haproxyConfig(_ string, upstream, port int) string {
	return fmt.Sprintf(`global
	nbthread 1
	maxconn 4000
defaults
	mode http
	timeout connect 10s
	timeout client 10m
	timeout server 10m
	http-reuse always
frontend f
	bind 127.0.0.1:%d
	default_backend b
backend b
	server s 127.0.0.1:%d
`, port, upstream)
}

// proxyServer is one that runs.
type proxyServer struct {
	cmd  *exec.Cmd
	port int
	pids []int // that do the work
}

func (k proxyKind) start(dir string, upstream int) (*proxyServer, error) {
	own := filepath.Join(dir, strings.ReplaceAll(k.name, " ", ""))
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	tool, err := findTool(k.tool)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(own+"/conf", []byte(k.config(own, upstream, port)), 0o644); err != nil {
		return nil, err
	}
	p := &proxyServer{port: port, cmd: onCPU(proxyCPU(), tool, k.args(own)...)}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := ask(port)
		p.pids = []int{p.cmd.Process.Pid}
		if k.forks {
			p.pids = childrenOf(p.cmd.Process.Pid)
		}
		if err == nil && len(p.pids) == 1 {
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			said, _ := os.ReadFile(own + "/error.log")
			return nil, fmt.Errorf("%s does not serve: %w\n%s", k.name, err, said)
		}
	}
}

func (p *proxyServer) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}
