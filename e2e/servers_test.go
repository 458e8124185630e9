package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// server is one that knows nothing of clusterd: its files are in
// testdata/servers, its port is in them or on its command line.
type server struct {
	name    string
	folder  string // "" if named as the server
	command string // its first word is a program
	shell   bool   // the command is one for a shell
	needs   string // a command that succeeds where the server can be run; "" if the program is enough
}

var servers = []server{
	{name: "bun", command: "bun server.ts"},
	{name: "bun-reuseport", command: "bun server.ts"},
	{name: "deno", command: "deno run --allow-net --allow-env server.ts"},
	{name: "node", command: "node server.js"},
	{name: "node-cluster", command: "node server.js"},
	{name: "npm-run", folder: "node", command: "npm run start"},
	{name: "vite", command: "vite"},
	{name: "go", command: "go-server 8080"},
	{name: "asio", command: "asio-server 8080"},
	{name: "python", command: "python3 server.py"},
	{name: "sh-c", folder: "python", command: "python3 server.py; true", shell: true},
	{name: "uvicorn", folder: "asgi", command: "uvicorn server:app --host 0.0.0.0 --port 8080 --no-access-log"},
	{name: "uvicorn-workers", folder: "asgi", command: "uvicorn server:app --host 0.0.0.0 --port 8080 --no-access-log --workers 2"},
	{name: "gunicorn", folder: "wsgi", command: "gunicorn -w 2 -b 0.0.0.0:8080 server:app"},
	{name: "webrick", command: "ruby server.rb", needs: "ruby -r webrick -e 1"},
	{name: "puma", command: "puma -b tcp://0.0.0.0:8080"},
	{name: "java", command: "java Server.java", needs: "javac -version"},
	{name: "php", command: "php -S 0.0.0.0:8080 server.php"},
	{name: "nginx", command: "nginx -p . -c nginx.conf"},
	{name: "nginx-reuseport", command: "nginx -p . -c nginx.conf"},
}

// serverNamed is one of servers.
func serverNamed(name string) server {
	return servers[slices.IndexFunc(servers, func(s server) bool { return s.name == name })]
}

// installers return the folder of a program that the system does not have.
var installers = map[string]func(testing.TB) string{
	"bun":         func(t testing.TB) string { return filepath.Dir(findBun(t)) },
	"deno":        npmServers,
	"vite":        npmServers,
	"go-server":   goServer,
	"asio-server": asioServer,
}

func npmServers(t testing.TB) string { return npmPrograms(t, "testdata/servers/package.json") }

func goServer(t testing.TB) string {
	folder, err := buildGoServer()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

var buildGoServer = sync.OnceValues(func() (string, error) {
	return compile("go", "build", "-o", "go-server", "./testdata/servers/go")
})

func asioServer(t testing.TB) string {
	folder, err := buildAsioServer()
	if err != nil {
		missing(t, err.Error())
	}
	return folder
}

var buildAsioServer = sync.OnceValues(func() (string, error) {
	return compile("g++", "-DASIO_STANDALONE", "-pthread", "-o", "asio-server", "testdata/servers/asio/server.cpp")
})

// compile runs a compiler whose output, what stands after -o, is to be in the
// folder that it returns, where every user may execute it.
func compile(name string, args ...string) (folder string, err error) {
	folder = filepath.Dir(clusterdBinary)
	for i, arg := range args {
		if arg == "-o" {
			args[i+1] = filepath.Join(folder, args[i+1])
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return folder, nil
}

// commonPath is a PATH in which every user finds the same: those of its folders
// that only the present one may enter are left out.
func commonPath(first ...string) string {
	var open []string
	path := strings.Join(append(first, os.Getenv("PATH"), "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ":")
	for _, folder := range filepath.SplitList(path) {
		if os.Getuid() != 0 || openToAll(folder) {
			open = append(open, folder)
		}
	}
	return strings.Join(open, ":")
}

func openToAll(folder string) bool {
	folder, err := filepath.EvalSymlinks(folder)
	for err == nil {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if folder == "/" {
			return true
		}
		folder = filepath.Dir(folder)
	}
	return false
}

// lookIn returns the path of a program, "" if it is in none of the folders.
func lookIn(path, program string) string {
	for _, folder := range filepath.SplitList(path) {
		found, err := exec.LookPath(filepath.Join(folder, program))
		if err == nil {
			return found
		}
	}
	return ""
}

// install makes sure that the workspace can run the server, whatever the user.
func (s server) install(w *workspace) {
	w.t.Helper()
	program, _, _ := strings.Cut(s.command, " ")
	path := commonPath()
	if install := installers[program]; install != nil {
		path = commonPath(install(w.t))
	}
	// Programs that keep something in their user's home shall do so here.
	w.env = append(w.env, "PATH="+path, "HOME="+w.dir, "NO_UPDATE_NOTIFIER=1")
	if lookIn(path, program) == "" {
		missing(w.t, program+" is not installed where every user may execute it")
	}
	if s.needs == "" {
		return
	}
	needed := strings.Fields(s.needs)
	if needed[0] = lookIn(path, needed[0]); needed[0] == "" {
		missing(w.t, "there is nothing to run "+s.needs+" with")
	}
	if out, err := exec.Command(needed[0], needed[1:]...).CombinedOutput(); err != nil {
		missing(w.t, fmt.Sprintf("%s: %v\n%s", s.needs, err, out))
	}
}

// deploy copies the server's files into a folder for an app, writes the port
// into them, and returns the app's table. Whoever runs the app has the folder.
func (s server) deploy(w *workspace, app string, port, instances int) string {
	w.t.Helper()
	folder := s.folder
	if folder == "" {
		folder = s.name
	}
	hardCode := func(text string) string { return strings.ReplaceAll(text, "8080", strconv.Itoa(port)) }
	from := os.DirFS(filepath.Join("testdata", "servers", folder))
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(w.dir, app, name)
		if entry.IsDir() {
			err = os.Mkdir(to, 0o755)
		} else {
			var text []byte
			if text, err = fs.ReadFile(from, name); err == nil {
				err = os.WriteFile(to, []byte(hardCode(string(text))), 0o644)
			}
		}
		if err == nil && w.wrap != nil {
			err = os.Chown(to, nobody, nobody)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	command := strconv.Quote(hardCode(s.command))
	if !s.shell {
		words := strings.Fields(hardCode(s.command))
		for i, word := range words {
			words[i] = strconv.Quote(word)
		}
		command = "[" + strings.Join(words, ", ") + "]"
	}
	return fmt.Sprintf("[apps.%s]\ncommand = %s\ncwd = %q\nport = %d\ninstances = %d\nready.timeout = %q\nlisten = \"adopt\"\n",
		app, command, app, port, instances, deadline)
}
