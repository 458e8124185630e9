package config

import (
	"maps"
	"slices"
)

// position is a place in the file: line and column counted from 1, the column
// in characters. The zero position is no place.
type position struct {
	line, column int
}

// node is one value of the file together with where it stands: the file
// itself, a key with its value, or an element of an array.
type node struct {
	name    string   // the key; "" for the file and for elements
	at      position // of the key, of an element: of its value
	valueAt position // of the value; of a table with a [header]: of its key there
	source  string   // the value as it is written, of anything but tables and arrays
	value   any      // as package toml decodes it
	keys    []*node  // of a table, in the order of the file
	items   []*node  // of an array, or of an array of tables

	index    map[string]*node // keys by name
	declared bool             // has a [header] or a value of its own; not just a part of a longer key
}

// key is the entry of a table under that name, or nil.
func (n *node) key(name string) *node { return n.index[name] }

// child is the entry of a table under that name; it is made, with the given
// position, when there is none.
func (n *node) child(name string, at position) *node {
	if k := n.index[name]; k != nil {
		return k
	}
	if n.index == nil {
		n.index = map[string]*node{}
	}
	k := &node{name: name, at: at, valueAt: at}
	n.index[name] = k
	n.keys = append(n.keys, k)
	return k
}

// attach puts the decoded value v into n, and its parts into the nodes below.
// A key that has no node yet gets one with the position of its table, so that
// no part of v is ever overlooked.
func (n *node) attach(v any) {
	n.value = v
	switch v := v.(type) {
	case map[string]any:
		if len(v) != len(n.keys) {
			for _, name := range slices.Sorted(maps.Keys(v)) {
				n.child(name, n.at)
			}
		}
		for _, k := range n.keys {
			k.attach(v[k.name])
		}
	case []map[string]any:
		for i, e := range v {
			n.item(i).attach(e)
		}
	case []any:
		for i, e := range v {
			n.item(i).attach(e)
		}
	}
}

// item is element i of an array; elements without a node get the array's
// position.
func (n *node) item(i int) *node {
	for len(n.items) <= i {
		n.items = append(n.items, &node{at: n.valueAt, valueAt: n.valueAt})
	}
	return n.items[i]
}
