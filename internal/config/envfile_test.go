package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeBeside puts a file beside cluster.toml, which write has made.
func writeBeside(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The nearer a file is to the app, the more it counts; env counts most. All of
// them can be referred to.
func TestEnvFiles(t *testing.T) {
	t.Setenv("FROM", "outside")
	dir := write(t, `
env_file = ".env"
[defaults]
env = { LEVEL = "defaults ${NAME}" }
[apps.web]
command = ["serve", "${NAME}", "${FROM}", "${BOTH}"]
env = { GREETING = "hello ${NAME}" }
env_file = ["web.env", "more.env"]
[apps.job]
command = ["${NAME}"]
`)
	writeBeside(t, ".env", "NAME=all\nBOTH=1\n# a comment\nexport QUOTED='a b'\n")
	writeBeside(t, "web.env", "NAME=web\nFROM=file\n")
	writeBeside(t, "more.env", "BOTH=\"2\"")
	c, err := Load("cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	web, job := c.App("web"), c.App("job")
	for _, tt := range []struct{ got, want any }{
		{web.Command.Argv, []string{"serve", "web", "file", "2"}},
		{web.Env, map[string]string{"LEVEL": "defaults all", "GREETING": "hello web"}},
		{web.FileEnv, map[string]string{"NAME": "web", "FROM": "file", "BOTH": "2", "QUOTED": "a b"}},
		{web.EnvFiles, []string{filepath.Join(dir, ".env"), filepath.Join(dir, "web.env"), filepath.Join(dir, "more.env")}},
		{job.Command.Argv, []string{"all"}},
		{job.FileEnv, map[string]string{"NAME": "all", "BOTH": "1", "QUOTED": "a b"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// What is wrong in a file is told without its content, which may be secret.
func TestBrokenEnvFile(t *testing.T) {
	write(t, "env_file = \".env\"\n[apps.web]\ncommand = \"x\"\n")
	writeBeside(t, ".env", "A=1\nB=\"two\nlines\"\nC D\nSECRET=hunter2\n")
	_, err := Load("cluster.toml")
	dir, _ := os.Getwd()
	want := `cluster.toml:1:12: env_file "` + dir + `/.env" is wrong in line 4; ` +
		`each line must be NAME=value, a value with spaces at its end or a # in it in quotes`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}

func TestLogFilesAreDistinct(t *testing.T) {
	wantErrors(t, `
[apps.a]
command = "x"
log.file = "logs/one.log"
[apps.b]
command = "x"
log = { file = "logs/../logs/one.log" }
`, `cluster.toml:7:7: the log file "DIR/logs/one.log" is already that of [apps.a]; give [apps.b] one of its own, or write "{app}" into the name`)
	c := mustLoad(t, "[defaults]\nlog.file = \"{app}.log\"\n[apps.a]\ncommand = \"x\"\n[apps.b]\ncommand = \"x\"\nlog.keep = 1\n")
	if a, b := c.App("a").Log, c.App("b").Log; filepath.Base(a.File) != "a.log" || filepath.Base(b.File) != "b.log" || b.Keep != 1 {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestScheduleIsNoCrashLoop(t *testing.T) {
	wantErrors(t, `
[apps.a]
command = "x"
schedule = "@daily"
restart = "always"
watch.paths = "."
`, `cluster.toml:5:11: restart = "always" would never let [apps.a] wait for its next time; use "on-failure" or "never"`,
		`cluster.toml:6:1: watch is for apps that run all the time, and [apps.a] has a schedule`)
	c := mustLoad(t, "[apps.a]\ncommand = \"x\"\nschedule = \"*/5 * * * *\"\n[apps.b]\ncommand = \"x\"\nschedule = \"@hourly\"\nrestart = \"on-failure\"\n")
	if a, b := c.App("a").Restart, c.App("b").Restart; a != RestartNever || b != RestartOnFailure {
		t.Errorf("restart is %s and %s", a, b)
	}
}

// Whoever may not change users is told so, with the place in the file.
func TestUserNeedsPrivilege(t *testing.T) {
	const file = "[apps.web]\ncommand = \"x\"\nuser = \"nobody\"\numask = 0o27\n"
	if mayBecomeOthers() != nil {
		write(t, file)
		if _, err := Load("cluster.toml"); err == nil {
			t.Error("no error")
		}
		return
	}
	a := mustLoad(t, file).App("web")
	if a.RunAs == nil || a.RunAs.User != "nobody" || a.RunAs.UID == 0 || a.RunAs.GID == 0 || *a.Umask != 0o27 {
		t.Errorf("%+v, umask %v", a.RunAs, a.Umask)
	}
}
