package report

import (
	"regexp"
	"slices"
)

// address is a server as texts name one: a host or address with its port, a bare IPv4 address, a
// URL.
var address = regexp.MustCompile(
	`[a-z]+://[^\s,;)]+|\[[0-9a-fA-F:]+\]:\d{2,5}|\b[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*:\d{4,5}\b|` +
		`\b\d{1,3}(?:\.\d{1,3}){3}\b`)

// Redacted gives the report as somebody without an account may read it: without the addresses of
// servers. The digest stays that of the whole report.
func Redacted(r Report) Report {
	hide := func(s string) string { return address.ReplaceAllString(s, "(server)") }
	r.Criteria = slices.Clone(r.Criteria)
	for i := range r.Criteria {
		r.Criteria[i].Why = hide(r.Criteria[i].Why)
		r.Criteria[i].Next = hide(r.Criteria[i].Next)
	}
	r.Incidents = slices.Clone(r.Incidents)
	for i := range r.Incidents {
		r.Incidents[i].Title = hide(r.Incidents[i].Title)
		r.Incidents[i].Acknowledged = hide(r.Incidents[i].Acknowledged)
	}
	r.Waivers = slices.Clone(r.Waivers)
	for i := range r.Waivers {
		r.Waivers[i].Member, r.Waivers[i].Why = hide(r.Waivers[i].Member), hide(r.Waivers[i].Why)
	}
	r.Next = slices.Clone(r.Next)
	for i := range r.Next {
		r.Next[i].Title, r.Next[i].Why = hide(r.Next[i].Title), hide(r.Next[i].Why)
	}
	r.Forecast.Reasons = slices.Clone(r.Forecast.Reasons)
	for i := range r.Forecast.Reasons {
		r.Forecast.Reasons[i] = hide(r.Forecast.Reasons[i])
	}
	return r
}
