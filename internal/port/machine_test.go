package port

import "testing"

// Here, as on any machine that these tests run on, everything is allowed: what
// is refused where, tests of the whole program see.
func TestThisMachine(t *testing.T) {
	closesAll(t)
	m := Machine{}
	if err := m.try(); err != nil {
		t.Fatal(err)
	}
	if err := m.Adoption(); err != nil {
		t.Error(err)
	}
}
