package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	startInstances = 200
	startRounds    = 3
)

// measureStart starts many instances that do nothing: what it takes is
// clusterd's own work.
func measureStart(dir, clusterd string, w *strings.Builder) error {
	fmt.Fprintf(w, `
## Start of %d instances

`+"`sleep 100000`"+` as a worker, from the start of clusterd until `+"`status --json`"+` says that all are ready,
which is asked for all the while. CPU of clusterd is what its threads ran, and not the
instances, nor the status commands. The goal is a second of CPU.

| round | CPU of clusterd | wall time |
|---|---|---|
`, startInstances)
	var own, wall []time.Duration
	for round := range startRounds {
		o, took, err := startOnce(fmt.Sprintf("%s/%d", dir, round), clusterd)
		if err != nil {
			return err
		}
		own, wall = append(own, o), append(wall, took)
		fmt.Fprintf(w, "| %d | %s | %s |\n", round+1, ms(o), ms(took))
	}
	fmt.Fprintf(w, "| **median** | **%s** | **%s** |\n", ms(median(own)), ms(median(wall)))
	return nil
}

func startOnce(dir, clusterd string) (own, wall time.Duration, err error) {
	toml := fmt.Sprintf("[apps.worker]\ncommand = [\"sleep\", \"100000\"]\ninstances = %d\n", startInstances)
	c, err := startCluster(dir, clusterd, toml)
	if err != nil {
		return 0, 0, err
	}
	defer c.stop()
	a, err := c.awaitReady(0)
	if err != nil {
		return 0, 0, err
	}
	wall = time.Since(c.began)
	if own, err = cpuTime(c.pid()); err != nil {
		return 0, 0, err
	}
	if len(a.Instances) != startInstances {
		return 0, 0, fmt.Errorf("%d instances instead of %d", len(a.Instances), startInstances)
	}
	return own, wall, nil
}
