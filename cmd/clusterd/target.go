package main

import (
	"fmt"
	"strings"

	"clusterd/internal/proc"
)

// narrow leaves in s only what the targets name.
func narrow(s *proc.Snapshot, targets []string) error {
	if len(targets) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, t := range targets {
		wanted[t] = true
	}
	found := map[string]bool{}
	var apps []proc.AppSnapshot
	for _, a := range s.Apps {
		if wanted[a.Name] {
			found[a.Name] = true
			for _, in := range a.Instances {
				found[in.ID] = true
			}
			apps = append(apps, a)
			continue
		}
		var instances []proc.InstanceSnapshot
		for _, in := range a.Instances {
			if wanted[in.ID] {
				found[in.ID] = true
				instances = append(instances, in)
			}
		}
		if instances != nil {
			a.Instances = instances
			apps = append(apps, a)
		}
	}
	for _, t := range targets {
		if !found[t] {
			return fmt.Errorf("no app or instance %q: the cluster has %s", t, strings.Join(appNames(s), ", "))
		}
	}
	s.Apps = apps
	return nil
}

func appNames(s *proc.Snapshot) []string {
	names := make([]string, len(s.Apps))
	for i, a := range s.Apps {
		names[i] = a.Name
	}
	return names
}
