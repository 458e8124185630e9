package proc

import "clusterd/internal/config"

// Plan says how the instances of an app get onto its port, how their requests
// are counted, and why so. Listen and Count are "" where there is no port.
type Plan struct {
	Listen, ListenWhy string
	Count, CountWhy   string
}

// PlanOf is what clusterd makes of an app's listen and count.
func PlanOf(a config.App) Plan {
	if a.Port == 0 {
		return Plan{ListenWhy: "a worker: it has no port"}
	}
	var p Plan
	switch a.Listen {
	case config.ListenSelf:
		p.Listen, p.ListenWhy = string(config.ListenSelf), `listen = "self": the instances set SO_REUSEPORT themselves`
		p.Count = string(config.CountOff)
		p.CountWhy = `the instances accept straight from the kernel; listen = "relay" would count their requests`
	default:
		p.Listen, p.ListenWhy = string(config.ListenRelay), `listen = "relay"`
		if a.Listen == config.ListenAuto {
			p.ListenWhy = "the relay serves everything that listens on $PORT, and counts requests exactly"
		}
		p.Count, p.CountWhy = string(config.CountRelay), "the relay follows every request"
	}
	if a.Count == config.CountOff {
		p.Count, p.CountWhy = string(config.CountOff), `count = "off"`
	}
	return p
}
