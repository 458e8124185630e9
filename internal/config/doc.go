// Package config turns a cluster.toml into a validated Config with every
// default filled in, or into the list of everything that is wrong with it.
//
// It starts nothing and opens nothing but the file itself, and imports nothing
// else of clusterd. A Config is a plain value: it is never changed after Load.
package config
