// Package config turns a cluster.toml into a validated Config with every
// default filled in, or into the list of everything that is wrong with it.
//
// Load reads the file (load.go); package toml decodes it, and locate.go finds
// where every key and value stands, which together make a tree of nodes. The
// reader (check.go) walks that tree: each key of an app is one row of the table
// in keys.go, with a setter that checks its value; what concerns several keys
// or several apps is checked afterwards.
//
// The package starts nothing, opens nothing but the file itself, and imports
// nothing else of clusterd. A Config is a plain value: it is never changed
// after Load.
package config
