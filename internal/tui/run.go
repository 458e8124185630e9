package tui

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
	_ "clusterd/internal/tui/quiet" // before Bubble Tea's own init
)

// Cluster is what the dashboard needs of a cluster. Its methods may block until
// ctx ends.
type Cluster interface {
	Snapshot(ctx context.Context) (*proc.Snapshot, error)
	Detail(ctx context.Context, target string) (*proc.Detail, error)
	Logs(ctx context.Context, q proc.LogQuery) (proc.LogPage, error)
	Do(ctx context.Context, a proc.Action) error
}

// Options say where a dashboard is shown.
type Options struct {
	Attached bool                // the cluster runs elsewhere and goes on without the dashboard
	In       io.Reader           // nil: os.Stdin
	Out      io.Writer           // nil: os.Stdout
	Env      func(string) string // NO_COLOR, the locale and the kind of terminal
	Theme    string              // one of ThemeNames; "": the default, or $CLUSTERD_THEME
}

// Outcome is what the user wants when the dashboard ends.
type Outcome int

// The outcomes.
const (
	Quit     Outcome = iota // leave
	Shutdown                // stop the cluster
)

// leaveTimeout is how long a terminal may take to be put back as it was. One
// that has stopped its output (ctrl-s) never is.
const leaveTimeout = 2 * time.Second

// Run shows the dashboard of c and blocks until the user leaves it, ctx ends
// (which is no error), or the terminal fails. The terminal is then as it was.
func Run(ctx context.Context, c Cluster, o Options) (Outcome, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.In == nil {
		o.In = os.Stdin
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	screen := newDisplay(o.Out)
	var out io.Writer = modes{screen}
	if file, ok := o.Out.(*os.File); ok {
		out = terminalModes{file, modes{screen}}
	}
	t := newTheme(o.Env)
	m := newModel(inner, c, o.Attached, t)
	m.copy = func(text string) error { return screen.clipboard(text, o.Env) }
	if err := t.use(cmp.Or(o.Theme, o.Env("CLUSTERD_THEME"))); err != nil && t.color {
		m.complain(err.Error())
	}
	program := tea.NewProgram(&painted{model: m, display: screen},
		tea.WithInput(o.In),
		tea.WithOutput(out),
		tea.WithAltScreen(),
		tea.WithFPS(1),             // its frames are empty
		tea.WithoutSignalHandler(), // signals are for the whole program
	)
	result := make(chan error, 1)
	go func() {
		stop, drawn := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(drawn)
			screen.draw(stop)
		}()
		go tick(inner, program.Send)
		_, err := program.Run()
		close(stop)
		<-drawn
		result <- err
	}()
	var err error
	select {
	case err = <-result:
	case <-ctx.Done():
		// Not tea.WithContext, which closes the terminal while it is being read.
		// Quit blocks as long as the terminal does.
		go program.Quit()
		select {
		case err = <-result:
		case <-time.After(leaveTimeout):
			return Quit, errors.New("the terminal takes no output; it may be left in a strange state (the command reset helps)")
		}
	}
	if ctx.Err() != nil {
		return Quit, nil
	}
	if err != nil {
		return Quit, err
	}
	return m.outcome, nil
}
