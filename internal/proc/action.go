package proc

// Verb is something that can be asked of instances.
type Verb string

// The verbs.
const (
	VerbStart   Verb = "start"
	VerbStop    Verb = "stop"
	VerbRestart Verb = "restart"
	VerbKill    Verb = "kill" // SIGKILL at once; what follows is up to the restart policy
)

// Action asks for something to be done to apps or instances.
type Action struct {
	Verb    Verb     `json:"verb"`
	Targets []string `json:"targets"` // "web" or "web/2"; none: everything
}
