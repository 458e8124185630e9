package proc

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"clusterd/internal/config"
)

// A million lines of 100 bytes, into memory and into a file.
func BenchmarkFlood(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("0123456789", 10)[:99]+"\n", 600))
	for _, file := range []string{"", "a.log"} {
		b.Run("file "+file, func(b *testing.B) {
			j := newJournal()
			var f *logFile
			if file != "" {
				f = newLogFile("a", config.Log{File: filepath.Join(b.TempDir(), file), MaxSize: 50 << 20, Keep: 2}, func(string) {})
				j.keepIn("a", f)
			}
			b.ReportAllocs()
			b.SetBytes(100)
			lines := 0
			for lines < b.N {
				capture(iotest.OneByteReader(bytes.NewReader(nil)), append([]byte{}, text...), func(l []string) {
					lines += len(l)
					j.append("a/0", StreamOut, l...)
				})
			}
			if f != nil {
				f.close()
				<-f.ended
			}
		})
	}
}
