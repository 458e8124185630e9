// Package tui is the dashboard: it shows a cluster in a terminal, live, and
// passes on what the user asks of it.
//
// It knows a cluster only through the interface Cluster, so it is the same for
// a cluster in this process and for one that is reached over a socket. It polls;
// nothing in the cluster ever waits for it. All that may block happens in
// commands beside the event loop of Bubble Tea, each with a time limit, and at
// most one poll of a kind is on its way at a time.
//
// One model (model.go) owns the panes: the tree of apps and instances (tree.go),
// their logs (logs.go) and the details of what is selected (detail.go). Panes are
// plain structs: they are called, not sent messages, and render lines for a given
// size. Where they go is layout.go; how everything looks is style.go. Keys, help
// and palette are made from one list of commands (keys.go). Frames are drawn by
// screen.go, and only when there is something new in them. Bubble Tea's types stay
// in run.go, painted.go, update.go, poll.go, mouse.go and keys.go.
package tui
