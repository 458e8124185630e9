package proc

// Meaning says what an instance in the state does; "" for no state at all.
func (s State) Meaning() string {
	switch s {
	case StateWaiting:
		return "it waits for another app."
	case StateStarting:
		return "it is not ready yet."
	case StateReady:
		return "all is well."
	case StateUnready:
		return "it is alive, and gets no connections until it serves again."
	case StateStopping:
		return "it has been told to end, and something of it still runs."
	case StateStopped:
		return "it runs again once it is started."
	case StateBackoff:
		return "its process has ended, and it is started again by itself."
	case StateFailed:
		return "clusterd has given up on it, until it is started."
	case StateDone:
		return "it has run to its end, as it is meant to."
	}
	return ""
}
