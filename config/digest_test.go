package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
)

func TestADigestIsDueAtTheSameHourOfItsZoneEveryWeek(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		digest     config.Digest
		now        string
		last, next string
	}{
		"what is not given is Monday at nine, UTC": {config.Digest{},
			"2026-12-02T23:00:00Z", "2026-11-30T09:00:00Z", "2026-12-07T09:00:00Z"},
		"the moment itself": {config.Digest{},
			"2026-11-30T09:00:00Z", "2026-11-30T09:00:00Z", "2026-12-07T09:00:00Z"},
		"a second before": {config.Digest{},
			"2026-11-30T08:59:59Z", "2026-11-23T09:00:00Z", "2026-11-30T09:00:00Z"},
		"the day is that of the zone": {
			config.Digest{Day: "Tuesday", At: "08:30", Zone: "Pacific/Auckland"},
			"2026-11-30T19:31:00Z", "2026-11-30T19:30:00Z", "2026-12-07T19:30:00Z"},
		"clocks go back in between": {config.Digest{Day: "thursday", Zone: "Europe/Berlin"},
			"2026-10-22T08:00:00Z", "2026-10-22T07:00:00Z", "2026-10-29T08:00:00Z"},
		"an hour that is left out is the one after": {
			config.Digest{Day: "sunday", At: "02:30", Zone: "Europe/Berlin"},
			"2026-03-29T05:00:00Z", "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z"},
		"the week after an hour that is left out": {
			config.Digest{Day: "sunday", At: "02:30", Zone: "Europe/Berlin"},
			"2026-04-05T00:29:00Z", "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		last := c.digest.Last(now).UTC().Format(time.RFC3339)
		next := c.digest.Next(now).UTC().Format(time.RFC3339)
		if last != c.last || next != c.next {
			t.Errorf("%s: last %s, next %s; want %s and %s", rule, last, next, c.last, c.next)
		}
	}
	says := config.Digest{Day: "friday", At: "16:00", Zone: "Europe/Berlin"}.String()
	if says != "Fridays at 16:00 (Europe/Berlin)" {
		t.Error(says)
	}
}

func TestADigestThatCouldNotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct{ given, want string }{
		"no day":                  {"digest: {day: mon}\n", "digest.day"},
		"no time":                 {"digest: {at: \"25:00\"}\n", "digest.at"},
		"no zone":                 {"digest: {zone: Berlin}\n", "digest.zone"},
		"the zone of a machine":   {"digest: {zone: Local}\n", "digest.zone"},
		"a pager gets no digest":  {"notifications: [{name: p, type: pagerduty, routing_key: x, digest: true}]\n", "notifications[0].digest"},
		"a key that nobody reads": {"digest: {hour: 9}\n", "hour"},
	} {
		_, err := load(t, c.given, env(nil))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
