package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxSize bounds the file in bytes. A thousand apps need a tenth of it.
const maxSize = 1 << 20

// Load reads the config file at path. It returns either a Config that can be
// run as it is, or an *Errors with everything that is wrong with the file:
// every mistake at once, except that a syntax error hides what the rest would
// say.
//
// Besides the file, the result depends on the environment of this process
// (${VAR} references), on the folders that cwd names, which must exist, and
// on the processors of the machine (instances = "cpus").
func Load(path string) (*Config, error) {
	r := &reader{report: report{file: path}, lookup: os.LookupEnv}
	text, err := read(path)
	if err != nil {
		return nil, r.unreadable(err)
	}
	absolute, err := resolve(path)
	if err != nil {
		return nil, r.unreadable(err)
	}
	r.dir = filepath.Dir(absolute)
	root := r.parse(text)
	if root == nil {
		return nil, r.err()
	}
	c := r.config(root)
	if err := r.err(); err != nil {
		return nil, err
	}
	c.Path = absolute
	return &c, nil
}

// Reasons why something is no config file.
var (
	errFolder  = errors.New("is a folder")
	errSpecial = errors.New("is not a regular file")
	errTooBig  = errors.New("is too big")
)

// read is the content of the file. It does not open what could block, such as
// a named pipe.
func read(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", errFolder
	case !info.Mode().IsRegular():
		return "", errSpecial
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = errTooBig
	}
	return string(content), err
}

// resolve is the absolute path without symbolic links.
func resolve(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(absolute)
}

// unreadable turns the reason why there is nothing to parse into a sentence
// that says what would be right.
func (r *report) unreadable(err error) error {
	var message string
	switch {
	case r.file == "":
		r.file, message = `""`, "the path of the config file is empty; name a file such as cluster.toml"
	case errors.Is(err, errFolder):
		message = "is a folder; name the file in it, such as " + filepath.Join(r.file, "cluster.toml")
	case errors.Is(err, errSpecial):
		message = "is not a regular file; write the config into a file of its own"
	case errors.Is(err, errTooBig):
		message = "is larger than 1 MiB, too large for a config file; is it another file?"
	case errors.Is(err, fs.ErrNotExist):
		message = "there is no such file; create it, or name another one"
	case errors.Is(err, fs.ErrPermission):
		message = fmt.Sprintf("permission denied; the user with the id %d must be allowed to read it", os.Geteuid())
	default:
		message = fmt.Sprintf("cannot be read: %v", cause(err))
	}
	r.list = []*Error{{File: r.file, Message: message, Cause: err}}
	return r.err()
}

// cause is an error of package os without the operation and the path.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// parse is the tree of the file with all its values, or nil when the text is
// not TOML, which it reports.
func (r *report) parse(text string) *node {
	start := position{1, 1}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		r.add(start, "the file is UTF-16 text; save it as UTF-8")
		return nil
	}
	text = strings.TrimPrefix(text, byteOrderMark)
	if i := notUTF8(text); i >= 0 {
		r.add(start.after(text[:i]), "the byte %#x is not UTF-8 text; save the file as UTF-8", text[i])
		return nil
	}
	if i := strings.IndexFunc(text, isForbidden); i >= 0 {
		r.add(start.after(text[:i]), `a config file must not contain the control character %#02x; in a string write \u%04[1]x`, text[i])
		return nil
	}
	if strings.TrimSpace(text) == "" {
		r.add(position{}, "the file is empty; declare at least one app, such as%s", example)
		return nil
	}
	root, tooDeep := locate(text)
	if tooDeep != (position{}) {
		r.add(tooDeep, "tables or arrays are nested more than %d deep here", maxDepth)
		return nil
	}
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		r.addSyntax(text, err)
		return nil
	}
	root.attach(values)
	return root
}

// addSyntax reports what package toml says of the text.
func (r *report) addSyntax(text string, err error) {
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		r.add(position{1, 1}, "%v", err)
		return
	}
	message := strings.TrimSuffix(syntax.Message, ".")
	if len(message) > 1 && unicode.IsLower(rune(message[1])) { // not "TOML"
		message = strings.ToLower(message[:1]) + message[1:]
	}
	var bare string
	if n, _ := fmt.Sscanf(message, "expected value but found %q instead", &bare); n == 1 && len(bare) > 1 {
		message += "; text needs quotes: " + cite(bare)
	}
	at := min(max(0, syntax.Position.Start), len(text))
	r.add(position{1, 1}.after(text[:at]), "%s", message)
}

// isForbidden tells whether TOML has r nowhere, not even in a comment.
func isForbidden(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
}

// notUTF8 is the index of the first byte that is no part of UTF-8 text, or -1.
func notUTF8(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
