package proc

// Verb is something that can be asked of instances.
type Verb string

// The verbs.
const (
	VerbStart   Verb = "start"
	VerbStop    Verb = "stop"
	VerbRestart Verb = "restart"
	VerbReload  Verb = "reload" // restart one after the other, and serve meanwhile
	VerbKill    Verb = "kill"   // SIGKILL at once; what follows is up to the restart policy
	verbApply   Verb = "apply"  // see Cluster.Apply
	VerbWait    Verb = "wait"   // nothing, but return when they are ready
	VerbScale   Verb = "scale"  // change the number of instances, see Action.Sizes
)

// Action asks for something to be done to apps or instances.
type Action struct {
	Verb    Verb     `json:"verb"`
	Targets []string `json:"targets"` // "web" or "web/2"; none: everything

	// Sizes is, for VerbScale, how many instances apps are to have. There are no
	// targets then.
	Sizes map[string]int `json:"sizes,omitempty"`
}
