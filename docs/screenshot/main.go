// Screenshot runs clusterd on a config in a terminal of tmux, sends its apps
// some requests, presses keys, and draws what is on the screen then as SVG
// pictures, or records all that happens on it. It takes what is really there:
// nothing in the pictures is made up.
//
//	go run ./docs/screenshot -clusterd bin/clusterd -o docs
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	var s session
	flag.StringVar(&s.clusterd, "clusterd", "bin/clusterd", "the clusterd `binary`")
	flag.StringVar(&s.config, "c", "examples/cluster.toml", "the config `file`")
	flag.IntVar(&s.w, "w", 110, "columns")
	flag.IntVar(&s.h, "h", 30, "rows")
	out := flag.String("o", "docs", "the `folder` for pictures and recording")
	load := flag.Duration("load", 30*time.Second, "how long to send requests before the first picture")
	urls := flag.String("urls", "http://localhost:8080/,http://localhost:8081/", "where to send requests, separated by commas")
	flag.Parse()
	s.urls = strings.Split(*urls, ",")
	if err := take(&s, *out, *load); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot:", err)
		os.Exit(1)
	}
}

// scene is some keys, and what is on the screen after them.
type scene struct {
	keys    string        // tmux's names for them, separated by spaces
	wait    time.Duration // until it is on the screen
	picture string        // file for it; "": none
}

// scenes are one run of a dashboard, from which all pictures are.
var scenes = []scene{
	{"j j", time.Second, "dashboard.svg"},
	{"Enter", 2 * time.Second, "detail.svg"},
	{"Escape g 2 z", time.Second, ""},
	{"/ G E T Space . * Space 5 Enter", time.Second, ""},
	{"N N v k k k", time.Second, "logs.svg"},
	{"Escape z Escape Escape R", 1200 * time.Millisecond, "reload.svg"},
	{"j j j", 4 * time.Second, ""},
	{"o o", 2 * time.Second, ""},
	{"?", 3 * time.Second, ""},
	{"Escape", time.Second, ""},
}

// take plays the scenes.
func take(s *session, out string, load time.Duration) (err error) {
	if err := s.start(filepath.Join(out, "dashboard.cast")); err != nil {
		return err
	}
	defer func() {
		if e := s.stop(); err == nil {
			err = e
		}
	}()
	stop := s.send()
	defer stop()
	time.Sleep(load)
	if err := s.record(); err != nil {
		return err
	}
	for _, scene := range scenes {
		for key := range strings.FieldsSeq(scene.keys) {
			if _, err := s.tmux("send-keys", "-t", "shot", key); err != nil {
				return err
			}
			time.Sleep(250 * time.Millisecond) // as somebody who types
		}
		time.Sleep(scene.wait)
		if scene.picture == "" {
			continue
		}
		screen, err := s.tmux("capture-pane", "-e", "-N", "-p", "-t", "shot")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, scene.picture), []byte(render(screen, s.w)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
