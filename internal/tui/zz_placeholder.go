// Package tui: placeholder so that cmd builds; delete it when the real code lands.
package tui

import (
	"context"
	"io"

	"clusterd/internal/proc"
)

type Cluster interface {
	Snapshot(ctx context.Context) (*proc.Snapshot, error)
	Logs(ctx context.Context, q proc.LogQuery) (proc.LogPage, error)
	Do(ctx context.Context, a proc.Action) error
}
type Options struct {
	Attached bool
	In       io.Reader
	Out      io.Writer
	Env      func(string) string
}
type Outcome int

const (
	Quit Outcome = iota
	Shutdown
)

func Run(ctx context.Context, c Cluster, o Options) (Outcome, error) { <-ctx.Done(); return Quit, nil }
