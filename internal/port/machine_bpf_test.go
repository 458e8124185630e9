package port

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Programs may be loaded by whoever has CAP_BPF, or CAP_SYS_ADMIN, which holds for
// it; without, the error says so.
func TestBPFTakesItsCapability(t *testing.T) {
	closesAll(t)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
	capable := sets[unix.CAP_BPF/32].Effective&(1<<(unix.CAP_BPF%32)) != 0 || sets[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
	if err := tryBPF(); capable != (err == nil) {
		t.Errorf("CAP_BPF: %v, and a program: %v", capable, err)
	}
}
