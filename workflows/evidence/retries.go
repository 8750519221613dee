package evidence

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Retries is the id of the check of the senders' webhook retries.
const Retries = "webhook-retries"

var retriesCheck = New(Check{
	ID:    Retries,
	Title: "Webhook retries",
	Limit: "every order rejected with 503 was redelivered, or stored by durable intake, and " +
		"applied once",
	Next:   "run the step Webhook-retry test",
	Before: migration.StageDualWrite,
	MaxAge: 30 * day,
	About:  []migration.Aspect{migration.AspectApp, migration.AspectSetup},
	Told:   true,
	Spent:  true,
}, coverRetries, judgeRetries)

// RetryFacts is the evidence of Retries.
type RetryFacts struct {
	Refused int `json:"refused"` // orders answered 503 during the test
	// Recovered counts those of them that were delivered again by the provider and acknowledged.
	Recovered    int `json:"recovered"`
	AppliedOnce  int `json:"applied_once"`
	AppliedTwice int `json:"applied_twice"`
	// Kept counts the orders that the app's durable intake acknowledged during the test, while
	// they could not be enqueued.
	Kept int `json:"kept,omitempty"`
	// KeptApplied counts those of them that were enqueued afterwards and applied once.
	KeptApplied int `json:"kept_applied,omitempty"`
	// KeptMS is the longest that one of them waited for its job.
	KeptMS  int64    `json:"kept_ms,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// LongestMS is the longest time from a 503 to the acknowledged retry.
	LongestMS int64 `json:"longest_ms"`
	// Providers are all whose orders were refused, or who sends orders here.
	Providers []ProviderRetries `json:"providers"`
	// Live is what the provider itself says of its deliveries since the test began; nil
	// when it was not asked.
	Live *LiveDeliveries `json:"live,omitempty"`
	// Orders are the events that were rejected or kept, each by itself, at most RetriesListed.
	Orders []RetriedOrder `json:"orders,omitempty"`
}

// RetriesListed is how many orders a test keeps one by one.
const RetriesListed = 100

// RetriedOrder is what became of one event of an order.
type RetriedOrder struct {
	Order    string `json:"order"`
	Event    string `json:"event,omitempty"` // the provider's id of it
	Provider string `json:"provider"`
	// RejectedAt is the first 503; of one that the durable intake kept, when it was taken in.
	RejectedAt time.Time `json:"rejected_at,omitzero"`
	// RetryMS is the time until the provider delivered it again for the first time.
	RetryMS migration.Figure `json:"retry_ms"`
	// AcceptedMS is the time until a delivery was acknowledged; of a kept one until it had a job.
	AcceptedMS migration.Figure `json:"accepted_ms"`
	Kept       bool             `json:"kept,omitempty"`
	Applied    int              `json:"applied"` // 1 is right
}

// ProviderRetries is what was seen of one provider's retries, and what is known of how
// long it would go on.
type ProviderRetries struct {
	Provider string `json:"provider"` // its name
	// Refused is 0 for a provider that sends orders here but whose retries were not tried.
	Refused     int   `json:"refused"`
	Kept        int   `json:"kept,omitempty"`
	Recovered   int   `json:"recovered"`
	AppliedOnce int   `json:"applied_once"`
	LongestMS   int64 `json:"longest_ms"`
	// WindowSeconds is the time from the first try to the last; 0: nobody states it.
	WindowSeconds int64 `json:"window_seconds"`
	// Proof is who states the window: documented (by the provider), observed, community or
	// assumed.
	Proof string `json:"proof"`
}

// window says how long the provider would go on, by whom. It is never observed here.
func (p ProviderRetries) window() string {
	length := fmt.Sprintf("%d min", p.WindowSeconds/60)
	if p.WindowSeconds%3600 == 0 {
		length = fmt.Sprintf("%d h", p.WindowSeconds/3600)
	}
	switch {
	case p.WindowSeconds == 0:
		return "window not documented"
	case p.Proof == "documented":
		return length + " documented"
	default:
		return fmt.Sprintf("window not documented, %s: %s", p.Proof, length)
	}
}

// LiveDeliveries is what a provider's own API says.
type LiveDeliveries struct {
	Provider    string   `json:"provider"`
	Undelivered int      `json:"undelivered"` // events that an endpoint has not taken
	Events      []string `json:"events,omitempty"`
}

func coverRetries(f RetryFacts) migration.Coverage {
	c := migration.Coverage{Of: "sender",
		Found: "who sends orders here, by the journal and the configuration"}
	for _, p := range f.Providers {
		m := migration.Member{Key: "sender:" + p.Provider, Name: p.Provider,
			Verdict: migration.Met}
		if p.Refused == 0 && p.Kept == 0 {
			m.Verdict, m.Why = migration.Unknown, "none of its orders was rejected"
		}
		c.Members = append(c.Members, m)
	}
	return c
}

func judgeRetries(f RetryFacts) (bool, string, error) {
	switch {
	case f.Refused == 0 && f.Kept == 0:
		return false, "", errors.New("no order was rejected, so no retry was seen")
	case f.AppliedTwice > 0:
		return false, fmt.Sprintf("%s processed twice", migration.Count(f.AppliedTwice, "order")), nil
	case f.Recovered < f.Refused || f.AppliedOnce < f.Refused:
		return false, fmt.Sprintf("%d of %d rejected orders were redelivered, %d applied",
			f.Recovered, f.Refused, f.AppliedOnce), nil
	case f.KeptApplied < f.Kept:
		return false, fmt.Sprintf("%d of %d orders stored by the durable intake were applied",
			f.KeptApplied, f.Kept), nil
	}
	if f.Live != nil && f.Live.Undelivered > 0 {
		return false, fmt.Sprintf("%s reports %s since then not delivered: %s",
			f.Live.Provider, migration.Count(f.Live.Undelivered, "event"), list(f.Live.Events)), nil
	}
	var tried, kept []string
	for _, p := range f.Providers {
		if p.Kept > 0 {
			kept = append(kept, fmt.Sprintf("%s %d", p.Provider, p.Kept))
		}
		if p.Refused == 0 {
			continue
		}
		tried = append(tried, fmt.Sprintf("%s %d (slowest after %s; %s)",
			p.Provider, p.Refused, seconds(p.LongestMS), p.window()))
	}
	if len(tried) == 0 && len(kept) == 0 {
		return false, "", errors.New("which providers' orders were rejected was not recorded: " +
			"the test is from an older version, run it again")
	}
	var parts []string
	if len(tried) > 0 {
		parts = append(parts, fmt.Sprintf("%s rejected with 503, all redelivered and applied "+
			"once: %s. First retries observed; full retry windows not tested",
			migration.Count(f.Refused, "order"), list(tried)))
	}
	if len(kept) > 0 {
		parts = append(parts, fmt.Sprintf("%s acknowledged from the durable intake while none "+
			"could be enqueued, all enqueued within %s and applied once: %s",
			migration.Count(f.Kept, "order"), seconds(f.KeptMS), list(kept)))
	}
	measured := strings.Join(parts, ". ")
	if f.Live != nil {
		measured += "; " + f.Live.Provider + " itself reports nothing undelivered"
	}
	return true, measured, nil
}
