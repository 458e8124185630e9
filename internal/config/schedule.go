package config

import (
	"errors"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is when a worker runs. The zero Schedule is no time at all: the app
// runs all the time.
type Schedule struct {
	Text  string // a cron expression
	times cron.Schedule
}

// Next is the first time of the schedule after t, in t's zone unless the
// expression names another one; zero when there is none within five years. Where an
// expression names hours, one that a change of the clock leaves out comes as much later,
// and one that comes twice counts once.
func (s Schedule) Next(t time.Time) time.Time {
	spec, ok := s.times.(*cron.SpecSchedule)
	if !ok || spec.Hour&everyHour != 0 {
		return s.times.Next(t)
	}
	zone := spec.Location
	if zone == time.Local { // which the library takes for that of t
		zone = t.Location()
	}
	wall := *spec
	wall.Location = time.UTC // has no changes
	for next := wall.Next(onWall(t.In(zone), time.UTC)); !next.IsZero(); next = wall.Next(next) {
		if at := fromWall(next, zone); at.After(t) {
			return at.In(t.Location())
		}
	}
	return time.Time{}
}

// everyHour is what the library sets for an hour of "*".
const everyHour = 1 << 63

// onWall is the time at which a clock in zone shows what t's does.
func onWall(t time.Time, zone *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
}

// fromWall is the first time at which a clock in zone shows what wall does, in UTC. One
// that it leaves out is as long after the change as it would have been without.
func fromWall(wall time.Time, zone *time.Location) time.Time {
	at := onWall(wall, zone)
	if shows := onWall(at, time.UTC); shows.Before(wall) {
		return at.Add(wall.Sub(shows)) // it is left out, and taken by the clock of afterwards
	}
	start, _ := at.ZoneBounds()
	if start.IsZero() {
		return at
	}
	_, now := at.Zone()
	_, before := start.Add(-1).Zone()
	earlier := at.Add(time.Duration(now-before) * time.Second)
	if earlier.Before(start) && onWall(earlier, time.UTC).Equal(wall) {
		return earlier
	}
	return at
}

// Set tells whether there is a schedule.
func (s Schedule) Set() bool { return s.times != nil }

// Equal tells whether both are the same times.
func (s Schedule) Equal(other Schedule) bool { return s.Text == other.Text }

// ParseSchedule reads a cron expression.
func ParseSchedule(text string) (Schedule, error) {
	if zone := strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="); zone && !strings.Contains(text, " ") {
		return Schedule{}, errors.New("nothing but a time zone") // over which the library would panic
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		if d, err := time.ParseDuration(every); err == nil && d < time.Second {
			return Schedule{}, errors.New("less than a second") // which the library takes for one
		}
	}
	times, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, errors.New(strings.ToLower(err.Error()[:1]) + err.Error()[1:])
	}
	return Schedule{Text: text, times: times}, nil
}

// MarshalBinary is the expression.
func (s Schedule) MarshalBinary() ([]byte, error) { return []byte(s.Text), nil }

// UnmarshalBinary reads what MarshalBinary has written.
func (s *Schedule) UnmarshalBinary(text []byte) (err error) {
	*s = Schedule{}
	if len(text) > 0 {
		*s, err = ParseSchedule(string(text))
	}
	return err
}

func setSchedule(f field, a *App) bool {
	const be = `a cron expression of minute, hour, day, month and weekday, such as "30 4 * * *", or one like "@hourly" or "@every 10m"`
	text, ok := f.text(be)
	if !ok {
		return false
	}
	s, err := ParseSchedule(text)
	if err != nil {
		return f.must(be, err.Error())
	}
	if s.Next(time.Now()).IsZero() {
		return f.fail("%s never comes", cite(text))
	}
	a.Schedule = s
	return true
}

// checkSchedule checks what a schedule means for the app's other keys.
func (r *reader) checkSchedule(d *draft) {
	if !d.Schedule.Set() || d.wrong["schedule"] {
		return
	}
	if d.set["port"] != nil {
		r.add(d.blame("schedule"), "schedule is for workers, and %s has a port: a server runs all the time", d.table)
	}
	if d.own("restart") && d.Restart == RestartAlways {
		r.add(d.set["restart"].valueAt, `restart = "always" would never let %s wait for its next time; use "on-failure" or "never"`, d.table)
	}
	if d.own("autostart") && !d.Autostart {
		r.add(d.set["autostart"].valueAt, "autostart = false has no meaning for %s, which starts by its schedule; clusterd stop keeps it from doing so", d.table)
	}
	if d.own("watch") {
		r.add(d.set["watch"].valueAt, "watch is for apps that run all the time, and %s has a schedule", d.table)
	}
	if !d.own("restart") && d.Restart == RestartAlways {
		d.Restart = RestartNever // a run that failed is over; the next one comes
	}
}
