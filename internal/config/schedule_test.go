package config

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// Hours that the clock leaves out, or shows twice.
func TestScheduleAtClockChanges(t *testing.T) {
	const day = "2006-01-02 15:04 MST"
	for _, x := range []struct{ text, zone, after, want string }{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 02:30 CET", "2026-03-29 03:30 CEST"}, // left out
		{"30 2 * * *", "Europe/Berlin", "2026-03-29 03:30 CEST", "2026-03-30 02:30 CEST"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 02:30 CEST", "2026-10-25 02:30 CEST"}, // twice
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:10 CET", "2026-10-26 02:30 CET"},
		{"30 2 * * *", "America/New_York", "2026-03-07 02:30 EST", "2026-03-08 03:30 EDT"},
		{"30 1 * * *", "America/New_York", "2026-10-31 01:30 EDT", "2026-11-01 01:30 EDT"},
		{"30 1 * * *", "America/New_York", "2026-11-01 01:30 EDT", "2026-11-02 01:30 EST"},
		{"30 * * * *", "Europe/Berlin", "2026-03-29 01:30 CET", "2026-03-29 03:30 CEST"}, // every hour that there is
		{"30 * * * *", "Europe/Berlin", "2026-10-25 02:30 CEST", "2026-10-25 02:30 CET"},
		{"0 4 * * 1", "Europe/Berlin", "2026-11-29 12:00 CET", "2026-11-30 04:00 CET"},
		{"0 0 1 1 *", "UTC", "2026-11-29 12:00 UTC", "2027-01-01 00:00 UTC"},
		{"CRON_TZ=America/New_York 30 2 * * *", "Europe/Berlin", "2026-03-08 01:00 CET", "2026-03-08 08:30 CET"},
	} {
		zone, err := time.LoadLocation(x.zone)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.ParseInLocation(day, x.after, zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSchedule(x.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(from).Format(day); got != x.want {
			t.Errorf("%q after %s: %s, want %s", x.text, x.after, got, x.want)
		}
	}
}

func TestScheduleOfNoTimes(t *testing.T) {
	for _, text := range []string{"TZ=UTC", "CRON_TZ=Europe/Berlin", "TZ=UTC\t30 4 * * *", "TZ= ", "TZ=Nowhere 30 4 * * *", "@every -5m", "@every 0s", "@every 100ms", "* * *", "61 * * * *", ""} {
		if s, err := ParseSchedule(text); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
	never, err := ParseSchedule("0 0 30 2 *")
	if err != nil || !never.Next(time.Now()).IsZero() {
		t.Errorf("30 February comes: %v", err)
	}
}
