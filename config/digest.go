package config

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a server may have no time zones of its own
)

// Digest is when the weekly digest is due. What is empty is Monday, 09:00, UTC.
type Digest struct {
	Day  string `yaml:"day"`  // monday to sunday
	At   string `yaml:"at"`   // HH:MM
	Zone string `yaml:"zone"` // of the IANA database, such as Europe/Berlin
}

func (d Digest) day() (time.Weekday, bool) {
	for w := time.Sunday; w <= time.Saturday; w++ {
		if strings.EqualFold(w.String(), cmp.Or(d.Day, "monday")) {
			return w, true
		}
	}
	return 0, false
}

func (d Digest) time() (time.Time, error) { return time.Parse("15:04", cmp.Or(d.At, "09:00")) }

// Location is the schedule's time zone.
func (d Digest) Location() (*time.Location, error) {
	if strings.EqualFold(d.Zone, "local") { // each replica would have its own
		return nil, fmt.Errorf("%q is the zone of a machine", d.Zone)
	}
	return time.LoadLocation(d.Zone) // "" is UTC
}

// Last gives the last time at or before now that a digest was due. An hour that a clock change
// leaves out counts as the one after it.
func (d Digest) Last(now time.Time) time.Time {
	zone, err := d.Location()
	if err != nil {
		zone = time.UTC
	}
	day, _ := d.day()
	at, _ := d.time()
	now = now.In(zone)
	back := (int(now.Weekday()) - int(day) + 7) % 7
	on := func(back int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()-back, at.Hour(), at.Minute(), 0, 0, zone)
	}
	if due := on(back); !due.After(now) {
		return due
	}
	return on(back + 7)
}

// Next gives the first time after now that a digest is due.
func (d Digest) Next(now time.Time) time.Time {
	last := d.Last(now)
	at, _ := d.time()
	return time.Date(last.Year(), last.Month(), last.Day()+7, at.Hour(), at.Minute(), 0, 0,
		last.Location())
}

// String says the schedule in words: Mondays at 09:00 (Europe/Berlin).
func (d Digest) String() string {
	day, _ := d.day()
	return fmt.Sprintf("%ss at %s (%s)", day, cmp.Or(d.At, "09:00"), cmp.Or(d.Zone, "UTC"))
}

func (m *mistakes) digest(d Digest) {
	_, known := d.day()
	m.need(known, "digest.day", "a day of the week is needed, such as monday")
	_, err := d.time()
	m.need(err == nil, "digest.at", "a time of day is needed, such as 09:00")
	_, err = d.Location()
	m.need(err == nil, "digest.zone", "a zone of the IANA database is needed, such as Europe/Berlin")
}
