package doctor

import (
	"fmt"

	"clusterd/internal/cgroup"
)

// State is how a Finding is.
type State string

// The states of a Finding.
const (
	OK      State = "ok"
	Limited State = "limited"
	Missing State = "missing"
	Unknown State = "unknown" // something else had to work to find out
)

// Finding is one thing that a machine allows or does not.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Found string `json:"found"`
	Takes string `json:"takes"` // what it would take, where it can be had and Found does not say so
	Means string `json:"means"` // for the user
}

const (
	watching     = "system calls"
	whyAdoption  = "instances can listen on the public port as if each were alone"
	withoutAdopt = "instances have to listen on $PORT, or set SO_REUSEPORT themselves"
)

// Findings says what the facts mean, one by one.
func (f Facts) Findings() []Finding {
	m := f.Machine
	untried := m.Filter != nil
	return []Finding{
		kernel(f.Kernel),
		adoption(watching, m.Filter, false, "bind and listen of instances can be decided by clusterd (seccomp)"),
		adoption("memory", m.Memory, untried, "what these calls point to can be read (/proc/PID/mem)"),
		sharing(m.Getfd, untried),
		adoption("descriptors", m.Put, untried, "sockets can be put into instances"),
		bpf(m.BPF),
		counting(m.Counting),
		lowPorts(f.FirstPort),
		ipv6(f.IPv6),
		files(f.Files),
		groups(f.Cgroup),
		cpuLimits(f.CPU),
	}
}

func kernel(release string) Finding {
	d := Finding{Name: "kernel", State: OK, Found: "Linux " + release, Means: "it has all that clusterd asks for"}
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 9) {
		d.State, d.Takes, d.Means = Limited, "Linux 5.9", withoutAdopt
	}
	return d
}

// adoption is about one of the things that adopting instances takes.
func adoption(name string, err error, untried bool, works string) Finding {
	switch {
	case untried:
		return Finding{Name: name, State: Unknown, Found: "not tried, for what is missing above", Means: withoutAdopt}
	case err != nil:
		return Finding{Name: name, State: Missing, Found: err.Error(), Means: withoutAdopt}
	}
	return Finding{Name: name, State: OK, Found: works, Means: whyAdoption}
}

// sharing is about the one of them that can be done without.
func sharing(err error, untried bool) Finding {
	f := adoption("pidfd_getfd", err, untried, "sockets of instances can be shared")
	if err != nil && !untried {
		f.State = Limited
		f.Means = "sockets of instances are replaced by clusterd's own, which not every server allows"
	}
	return f
}

func counting(err error) Finding {
	if err != nil {
		return Finding{
			Name: "counting", State: Missing, Found: err.Error(),
			Takes: "setcap cap_bpf,cap_net_admin=+ep on the clusterd binary, or root",
			Means: "requests are counted by the relay, through which connections then pass",
		}
	}
	return Finding{
		Name: "counting", State: OK, Found: "programs that follow requests may be loaded",
		Means: "requests are counted in the kernel, and connections go straight to instances",
	}
}

func bpf(err error) Finding {
	if err != nil {
		return Finding{
			Name: "bpf", State: Missing, Found: err.Error(),
			Means: "connections are spread over the live instances by a hash",
		}
	}
	return Finding{
		Name: "bpf", State: OK, Found: "programs that choose among sockets may be loaded",
		Means: "the kernel gives connections to the least loaded instance",
	}
}

func lowPorts(first int) Finding {
	if first <= 1 {
		return Finding{Name: "low ports", State: OK, Found: "every port may be bound", Means: "an app may have port 80 or 443"}
	}
	return Finding{
		Name: "low ports", State: Limited, Found: fmt.Sprintf("ports from %d on may be bound", first),
		Takes: "root, setcap cap_net_bind_service=+ep on clusterd, or sysctl net.ipv4.ip_unprivileged_port_start=80",
		Means: fmt.Sprintf("an app with a port below %d does not start", first),
	}
}

func ipv6(err error) Finding {
	if err != nil {
		return Finding{
			Name: "IPv6", State: Missing, Found: err.Error(),
			Takes: "sysctl net.ipv6.conf.all.disable_ipv6=0, or a container network with IPv6",
			Means: "apps are reached by IPv4 only",
		}
	}
	return Finding{Name: "IPv6", State: OK, Found: "::1 is there", Means: "apps are reached by IPv4 and IPv6"}
}

// enoughFiles is for about two thousand connections through the relay.
const enoughFiles = 4096

func files(limit uint64) Finding {
	d := Finding{
		Name: "open files", State: OK, Found: fmt.Sprintf("at most %d (RLIMIT_NOFILE)", limit),
		Means: fmt.Sprintf("some %d connections at once behind the relay", limit/2),
	}
	if limit < enoughFiles {
		d.State = Limited
		d.Takes = "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in a systemd unit"
	}
	return d
}

func groups(c cgroup.Own) Finding {
	means := "clusterd finds what instances leave behind without it"
	if c.Err != nil {
		d := Finding{
			Name: "cgroup v2", State: Missing, Found: c.Err.Error(),
			Takes: cgroup.Takes,
			Means: means,
		}
		if c.Mount != "" {
			d.State, d.Found = Limited, "mounted at "+c.Mount+", but "+c.Err.Error()
		}
		return d
	}
	return Finding{
		Name: "cgroup v2", State: OK, Found: fmt.Sprintf("mounted at %s; groups can be made in the own one, %s", c.Mount, c.Dir),
		Means: "instances with limits.cpu can be ended by group; " + means + ", too",
	}
}

func cpuLimits(err error) Finding {
	if err != nil {
		return Finding{
			Name: "CPU limits", State: Missing, Found: err.Error(), Takes: cgroup.Takes,
			Means: "an app with limits.cpu does not start",
		}
	}
	return Finding{
		Name: "CPU limits", State: OK, Found: "groups can be given a share of CPU time (cpu.max)",
		Means: "an instance gets no more than its limits.cpu",
	}
}
