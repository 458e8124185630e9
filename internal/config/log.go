package config

import (
	"os"
	"path/filepath"
	"strings"
)

// Log says where the output of an app goes besides clusterd's memory.
type Log struct {
	File    string // absolute; "": nowhere
	MaxSize int64  // bytes; above, the file is renamed and a new one begun
	Keep    int    // renamed files that are kept, as File.1 to File.Keep
	Format  LogFormat
}

// LogFormat is how lines stand in a log file.
type LogFormat string

// The formats.
const (
	LogText LogFormat = "text" // 2026-01-02T15:04:05.000+01:00 web/0 | GET /
	LogJSON LogFormat = "json" // {"at":"…","instance":"web/0","stream":"out","text":"GET /"}
)

// appInFile stands in log.file for the name of the app.
const appInFile = "{app}"

func setLog(f field, a *App) bool {
	l := a.Log
	ok := parts{
		"file": func(f field) bool {
			path, ok := f.expanded("the path of a file")
			switch {
			case !ok:
				return false
			case path == "" || strings.HasSuffix(path, "/"):
				return f.must(`the path of a file, such as "logs/web.log"`, "")
			case !filepath.IsAbs(path):
				path = filepath.Join(f.r.dir, path)
			}
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				return f.fail("%q is a folder; name a file in it", path)
			} else if err == nil && !info.Mode().IsRegular() {
				return f.fail("%q is no regular file, and could not be rotated", path)
			}
			l.File = path
			return true
		},
		"max_size": func(f field) (ok bool) {
			l.MaxSize, ok = f.size()
			if ok && l.MaxSize < 1<<10 {
				return f.must(`"1KiB" or more`, "")
			}
			return ok
		},
		"keep": func(f field) (ok bool) {
			l.Keep, ok = f.between(0, 10_000, "an integer from 0 to 10000")
			return ok
		},
		"format": setter(word(func(*App) *LogFormat { return &l.Format }, []LogFormat{LogText, LogJSON})).of(a),
	}.read(f, `{ file = "logs/web.log", max_size = "10MiB", keep = 5 }`)
	if ok {
		a.Log = l
	}
	return ok
}

// checkLogs reports what is wrong with the log files of all apps together.
func (r *reader) checkLogs(drafts []draft) {
	owner := map[string]*draft{}
	for i := range drafts {
		d := &drafts[i]
		if d.wrong["log"] {
			continue
		}
		d.Log.File = strings.ReplaceAll(d.Log.File, appInFile, d.Name)
		switch first := owner[d.Log.File]; {
		case d.Log.File == "" && d.own("log"):
			r.add(d.set["log"].valueAt, `log names no file; add one, such as file = "logs/%s.log"`, d.Name)
		case d.Log.File == "":
		case first != nil:
			r.add(d.blame("log"), `the log file %q is already that of %s; give %s one of its own, or write "%s" into the name`,
				d.Log.File, first.table, d.table, appInFile)
		default:
			owner[d.Log.File] = d
		}
	}
}
