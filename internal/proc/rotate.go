package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// rotatingFile is a file to append to. Once it is bigger than maxSize it becomes
// path.1, what was that path.2, and so on; path.keep is the last. It is written
// through a buffer. One goroutine uses it, and every call may take as long as the
// disk does.
type rotatingFile struct {
	path    string
	maxSize int64
	keep    int

	file *os.File
	out  *bufio.Writer
	size int64

	rotationFailed  time.Time // when it was tried last; zero: it was not, or worked
	untold          error     // why
	lookedForItself time.Time
}

// rotateRetry is how long a file that cannot be rotated grows before that is
// tried again.
const rotateRetry = time.Minute

// write appends one line. With an error the file has been closed, and the next
// call opens it again.
func (f *rotatingFile) write(line []byte) (err error) {
	if f.file != nil && f.size > 0 && f.size+int64(len(line)) > f.maxSize && time.Since(f.rotationFailed) > rotateRetry {
		f.rotate()
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	n, err := f.out.Write(line)
	f.size += int64(n)
	if err != nil {
		f.close()
	}
	return err
}

// flush writes what the buffer has. A file that has been removed or renamed by
// somebody else, such as logrotate(8), is left and begun anew.
func (f *rotatingFile) flush() error {
	if f.file == nil {
		return nil
	}
	if err := f.out.Flush(); err != nil {
		f.close()
		return err
	}
	if time.Since(f.lookedForItself) >= time.Second {
		f.lookedForItself = time.Now()
		if !f.isAt(f.path) {
			f.close()
		}
	}
	return nil
}

// isAt tells whether a path is that of the open file.
func (f *rotatingFile) isAt(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	open, err := f.file.Stat()
	return err == nil && os.SameFile(there, open)
}

// fileMode keeps logs from strangers: they tell of requests and secrets.
const fileMode = 0o640

func (f *rotatingFile) open() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.size = file, info.Size()
	f.lookedForItself = time.Now()
	f.out = bufio.NewWriterSize(file, 64<<10)
	// What a full disk or a power cut made of the last line ends here.
	last := []byte{'\n'}
	if f.size > 0 {
		_, _ = file.ReadAt(last, f.size-1)
	}
	if last[0] != '\n' {
		_ = f.out.WriteByte('\n')
	}
	return nil
}

func (f *rotatingFile) close() {
	if f.file != nil {
		_ = f.out.Flush()
		f.file.Close()
	}
	f.file, f.out, f.size = nil, nil, 0
}

// rotate ends the open file and makes room for a new one. When it cannot, the
// file goes on as it is.
func (f *rotatingFile) rotate() {
	f.close()
	if err := f.shift(); err != nil {
		f.rotationFailed, f.untold = time.Now(), err
		return
	}
	f.rotationFailed, f.untold = time.Time{}, nil
}

func (f *rotatingFile) shift() error {
	if f.keep == 0 {
		return os.Remove(f.path)
	}
	for n := f.keep; n > 0; n-- {
		from := f.path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", f.path, n-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", f.path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// rotationError is why the file could not be rotated, once.
func (f *rotatingFile) rotationError() error {
	err := f.untold
	f.untold = nil
	return err
}
