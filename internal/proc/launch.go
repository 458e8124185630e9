package proc

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// streams are clusterd's ends of a process's standard output and error.
type streams struct{ stdout, stderr *os.File }

// specOf says what to execute for a run. The caller closes the files of the
// spec once the process has them, and either follows or closes the streams.
func specOf(r *run) (spec, streams, error) {
	app := r.inst.app.config
	s := spec{args: app.Command.Args(), dir: app.Cwd, run: runName()}
	s.env = environment(r, s.run)
	var ours streams
	var err error
	if ours.stdout, s.stdout, err = os.Pipe(); err != nil {
		return spec{}, streams{}, err
	}
	if ours.stderr, s.stderr, err = os.Pipe(); err != nil {
		ours.stdout.Close()
		s.stdout.Close()
		return spec{}, streams{}, err
	}
	return s, ours, nil
}

// follow copies both streams into the journal until their last writer is gone.
// Then it closes the channel that it returns.
func (s streams) follow(j *journal, id string) <-chan struct{} {
	var following sync.WaitGroup
	for stream, f := range map[Stream]*os.File{StreamOut: s.stdout, StreamErr: s.stderr} {
		following.Go(func() {
			defer f.Close()
			capture(f, func(lines []string) { j.append(id, stream, lines...) })
		})
	}
	ended := make(chan struct{})
	go func() {
		following.Wait()
		close(ended)
	}()
	return ended
}

func (s streams) close() {
	s.stdout.Close()
	s.stderr.Close()
}

// runs counts the runs of this process, to tell them apart.
var runs atomic.Uint64

func runName() string { return fmt.Sprintf("%d.%d", os.Getpid(), runs.Add(1)) }

// environment is clusterd's own with the app's variables and then the
// instance's. Of a variable that is set twice the last one holds.
func environment(r *run, name string) []string {
	inst := r.inst
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	maps.Copy(vars, inst.app.config.Env)
	index := strconv.Itoa(inst.index)
	if r.place.port != 0 {
		vars["PORT"] = strconv.Itoa(r.place.port)
	}
	vars["CLUSTERD_APP"] = inst.app.config.Name
	vars["CLUSTERD_INSTANCE"] = index
	vars["CLUSTERD_GENERATION"] = strconv.Itoa(r.generation)
	vars["NODE_APP_INSTANCE"] = index
	vars[strings.TrimSuffix(runVariable, "=")] = name

	env := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}
