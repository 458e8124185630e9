// Package e2e drives the clusterd binary as a user does: with a config file, a
// command line, signals and HTTP requests, and looks at nothing but what a user
// can see. The instances that it runs are this test binary itself, see child.
//
// Every test has a workspace: a folder, a runtime directory and ports of its
// own, and a mark in the environment of all that it starts. When a test ends
// without having killed clusterd, no process with its mark may be alive, no
// port of it held and no control socket left; if any is, the test fails.
//
// With CLUSTERD_E2E_RACE=1, or under go test -race, clusterd
// is built with the race detector, and what that finds fails the test.
package e2e
