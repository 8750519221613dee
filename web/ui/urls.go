package ui

import (
	"net/url"
	"strconv"

	"github.com/switchyard-dev/switchyard/migration"
)

// Addresses of the pages.

// URL is the address of a page of a migration; no parts: of its overview.
func URL(mid string, parts ...string) string {
	u := "/m/" + url.PathEscape(mid)
	for _, p := range parts {
		u += "/" + url.PathEscape(p)
	}
	return u
}

// StepURL is the address of a step's page, with the parameters that its plan is for.
func StepURL(mid, step string, p migration.Params) string {
	u := URL(mid, "steps", step)
	q := url.Values{}
	if p.To != "" {
		q.Set("to", string(p.To))
	}
	if p.Ramp != 0 {
		q.Set("ramp", strconv.Itoa(p.Ramp))
	}
	for _, key := range migration.LimitKeys() {
		if n := *p.Limits.Of(key); n != 0 {
			q.Set(key, strconv.Itoa(n))
		}
	}
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// OrderURL is the address of an order's page. Browsers take "." and ".." in a path as
// directions, so those ids go with the query.
func OrderURL(mid, id string) string {
	if id == "" || id == "." || id == ".." {
		return URL(mid, "ledger") + "?" + url.Values{"id": {id}}.Encode()
	}
	return URL(mid, "ledger", id)
}
