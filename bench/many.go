package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var manyInstances = flag.Int("many", 1000, "how many `instances` the section many starts")

// How long a supervisor may take. All of it together stays below fifteen minutes.
const (
	manyUp   = 120 * time.Second
	manyDown = 120 * time.Second
	manyIdle = 15 * time.Second
	floodFor = 5 * time.Second
)

// linesVariable makes this program an instance that writes lines for floodFor, once
// there is a file "go" in the folder that it names, and then how many they were into
// "lines".
const linesVariable = "CLUSTERD_BENCH_LINES"

// floodLine is 100 bytes long.
var floodLine = strings.Repeat("0123456789", 10)[:99] + "\n"

func init() {
	if dir := os.Getenv(linesVariable); dir != "" {
		if err := flood(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		time.Sleep(time.Hour) // until it is ended
		os.Exit(0)
	}
}

func flood(dir string) error {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	out := bufio.NewWriterSize(os.Stdout, 4096)
	n := 0
	for end := time.Now().Add(floodFor); n%100 != 0 || time.Now().Before(end); n++ {
		if _, err := out.WriteString(floodLine); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	temp := filepath.Join(dir, "lines.tmp")
	if err := os.WriteFile(temp, []byte(strconv.Itoa(n)), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, "lines"))
}

// measureMany compares clusterd with others of its kind.
func measureMany(dir, clusterd string, w *strings.Builder) error {
	fmt.Fprintf(w, `
## Many instances, beside pm2 and supervisord

%d instances of `+"`sleep 100000`"+`, each supervisor as it is by default (pm2 in fork mode; supervisord and pm2 write logs
into files, clusterd keeps them in memory). Up: from the start of the supervisor until all instances are its children
and have executed. Idle: CPU in percent of one core over %v, %v later, and memory (RSS), of the supervisor with its
helpers and without the instances. Down: from the order to stop until the last process is gone; for pm2 that is `+"`pm2 kill`"+`.
The goals are under 1 %% and under 64 MiB.

Flood: one app writes lines of 100 bytes for %v, 4 KiB at a time, and each supervisor has them in files that rotate at
50 MB (pm2, which does not rotate, in one file). Lines are what the app could write: clusterd never makes it wait, and
drops what the log file cannot take; the others make it wait. CPU is the supervisor's, up to 2 s after the last line.

| supervisor | up | CPU idle | memory | down | lines per second | CPU per million lines |
|---|---|---|---|---|---|---|
`, *manyInstances, manyIdle, settleTime, floodFor)
	var errs []error
	for _, s := range rivals {
		row, err := compare(filepath.Join(dir, s.name), func(dir string, job work) (*rival, error) { return s.begin(dir, clusterd, job) })
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("not installed: %w", err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		fmt.Fprintf(w, "| %s | %s |\n", s.name, strings.Join(row[:], " | "))
	}
	return errors.Join(errs...)
}

// compare measures one supervisor; what could not be measured is a dash.
func compare(dir string, begin func(dir string, job work) (*rival, error)) (row [6]string, err error) {
	for i := range row {
		row[i] = "–"
	}
	many := work{argv: []string{"sleep", "100000"}, n: *manyInstances}
	if many.argv[0], err = exec.LookPath("sleep"); err != nil { // pm2 wants a path
		return row, err
	}
	r, err := begin(filepath.Join(dir, "many"), many)
	if err != nil {
		return row, err
	}
	took, instances, err := r.up(many.n, manyUp)
	row[0] = fmt.Sprintf("%d in %v", len(instances), manyUp)
	if err == nil {
		row[0] = ms(took)
		row[1], row[2], err = r.idle()
	}
	took, downErr := r.down(manyDown)
	row[3] = fmt.Sprintf("over %v", manyDown)
	if downErr == nil {
		row[3] = ms(took)
	}
	if err = errors.Join(err, downErr); err != nil {
		return row, err
	}
	row[4], row[5], err = floods(filepath.Join(dir, "flood"), begin)
	return row, err
}

// idle is what the supervisor and its helpers use while they have nothing to do.
func (r *rival) idle() (cpu, memory string, err error) {
	time.Sleep(settleTime)
	_, pids := r.look()
	before, err := cpuTimes(pids)
	if err != nil {
		return "–", "–", err
	}
	began := time.Now()
	time.Sleep(manyIdle)
	after, err := cpuTimes(pids)
	if err != nil {
		return "–", "–", err
	}
	share := float64(after-before) / float64(time.Since(began))
	sum := 0.0
	for _, pid := range pids {
		mib, err := resident(pid)
		if err != nil {
			return "–", "–", err
		}
		sum += mib
	}
	return fmt.Sprintf("%.2f %%", 100*share), fmt.Sprintf("%.1f MiB", sum), nil
}

// floods is what becomes of one app that writes as much as it can.
func floods(dir string, begin func(dir string, job work) (*rival, error)) (rate, cpu string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "–", "–", err
	}
	r, err := begin(dir, work{argv: []string{self}, n: 1, env: map[string]string{linesVariable: dir}, keeps: true})
	if err != nil {
		return "–", "–", err
	}
	defer func() {
		_, downErr := r.down(manyDown)
		err = errors.Join(err, downErr)
	}()
	if _, _, err := r.up(1, manyUp); err != nil {
		return "–", "–", err
	}
	time.Sleep(time.Second) // for what a start leaves to do
	_, own := r.look()
	before, err := cpuTimes(own)
	if err != nil {
		return "–", "–", err
	}
	began := time.Now()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		return "–", "–", err
	}
	var text []byte
	for text == nil {
		if time.Since(began) > floodFor+manyUp {
			return "–", "–", errors.New("the app that floods does not end")
		}
		time.Sleep(10 * time.Millisecond)
		text, _ = os.ReadFile(filepath.Join(dir, "lines"))
	}
	took := time.Since(began)
	time.Sleep(2 * time.Second) // what has been taken, but not been dealt with
	after, err := cpuTimes(own)
	if err != nil {
		return "–", "–", err
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return "–", "–", err
	}
	return fmt.Sprintf("%.0f", float64(n)/took.Seconds()), fmt.Sprintf("%.2f s", (after-before).Seconds()*1e6/float64(n)), nil
}
