package ebpf

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is committed compiled was compiled from the sources beside it.
func TestGeneratedFromTheseSources(t *testing.T) {
	sums, err := os.ReadFile("generated.sum")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("bpf/*")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources are in bpf: ", err)
	}
	for _, path := range append(sources, "requests_bpfel.go", "requests_bpfel.o") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(content), path); !strings.Contains(string(sums), line) {
			t.Errorf("%s is not what generated.sum says: run make generate", path)
		}
	}
}
