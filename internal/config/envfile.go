package config

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"

	"github.com/joho/godotenv"
)

// setEnvFile reads the variables of one or more files, on top of those that the
// app has already.
func setEnvFile(f field, a *App) bool {
	paths, ok := f.strings("the path of a file, or an array of paths")
	if !ok {
		return false
	}
	for i, path := range paths {
		at := f
		if len(f.items) > i {
			at.node = f.items[i]
		}
		if path == "" {
			return at.fail(`is empty; name a file such as ".env"`)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(f.r.dir, path)
		}
		vars, ok := at.variables(path)
		if !ok {
			return false
		}
		maps.Copy(a.FileEnv, vars)
		a.EnvFiles = append(a.EnvFiles, path)
	}
	return true
}

// variables reads one file of variables.
func (f field) variables(path string) (map[string]string, bool) {
	text, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, f.fail("%q does not exist; relative paths start at the folder of this file", path)
	case err != nil:
		return nil, f.fail("%q cannot be used: %v", path, cause(err))
	case strings.ContainsRune(text, 0):
		return nil, f.fail("%q contains a NUL character: it is no file of variables", path)
	}
	vars, err := godotenv.Unmarshal(text)
	if err != nil {
		return nil, f.fail("%q is wrong in line %d; each line must be NAME=value, a value with spaces at its end or a # in it in quotes",
			path, brokenLine(text))
	}
	return vars, true
}

// brokenLine finds the first line of a file of variables from which on none of
// its beginnings can be read. (The library cites everything that follows, which
// may be secret.)
func brokenLine(text string) int {
	line, good := 0, 0
	for at := 0; at < len(text); {
		end := strings.IndexByte(text[at:], '\n') + 1
		if end == 0 {
			end = len(text) - at
		}
		at += end
		line++
		if _, err := godotenv.Unmarshal(text[:at]); err == nil {
			good = line
		}
	}
	return good + 1
}
