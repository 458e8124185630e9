package e2e

import (
	"fmt"
	"os"
	"testing"
)

// With two capabilities and no other right, requests are counted in the kernel,
// exactly, on their way to servers that know of nothing; and each instance gets
// its share.
func TestCountsInTheKernel(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can hand out capabilities")
	}
	for _, name := range []string{"node", "python", "go"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.asNobody()
			const caps = "=-all,+bpf,+net_admin"
			w.wrap = append(w.wrap[:len(w.wrap)-2], "--bounding-set"+caps, "--inh-caps"+caps, "--ambient-caps"+caps)
			s := serverNamed(name)
			s.install(w)
			port := w.port()
			table := s.deploy(w, "web", port, 3)
			w.configure(table[:len(table)-len("listen = \"adopt\"\n")]) // as by default
			d := w.start()
			d.awaitReady(3)
			if a := w.status().app("web"); a.Listen != "adopt" || a.Count != "ebpf" {
				t.Fatalf("listen %q, count %q, want adopt and ebpf", a.Listen, a.Count)
			}
			const n = 600
			seen := d.serveAll(fmt.Sprintf("127.0.0.1:%d", port), n, 3)
			d.checkExact("web", seen.count)
			for id, count := range seen.count {
				if count < n/6 || count > n/2 {
					t.Errorf("%s has served %d of %d", id, count, n)
				}
			}
			w.must("reload", "web")
			seen.join(d.serveAll(fmt.Sprintf("127.0.0.1:%d", port), n, 3))
			d.checkExact("web", seen.count)
			d.stop()
		})
	}
}
