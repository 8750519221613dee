package webhooks

import (
	"encoding/json"
	"slices"
	"time"
)

const (
	planRead = "2026-11"    // gathered before the project
	read     = "2026-11-26" // looked up again
)

// Senders gives the five setups that are planned with, by id. Where it is not known
// which of several setups a shop has, it is the worse one.
func Senders() []Sender {
	return []Sender{Stripe(), Shopify(), ClickFunnels(), CopeCart(), COPE()}
}

// SenderIDs lists the ids of Senders, in their order.
func SenderIDs() (ids []string) {
	for _, s := range Senders() {
		ids = append(ids, s.ID)
	}
	return ids
}

// Variants gives other setups of the same providers.
func Variants() []Sender {
	return []Sender{StripeSandbox(), ShopifyAppConfig(), ClickFunnelsSevenTries()}
}

// ByID gives the provider of an id; false when there is none.
func ByID(id string) (Sender, bool) {
	all := Senders()
	i := slices.IndexFunc(all, func(p Sender) bool { return p.ID == id })
	if i < 0 {
		return Sender{}, false
	}
	return all[i], true
}

// Stripe in live mode.
func Stripe() Sender {
	const page = "https://docs.stripe.com/webhooks"
	return Sender{
		ID: "stripe", Name: "Stripe", Variant: "live mode",
		Signature: Source{Level: Documented, URL: page + "#verify-manually", Read: read},
		Header:    "Stripe-Signature", Tolerance: 300 * time.Second,
		Dedupe: Source{Level: Documented, URL: page + "#handle-duplicate-events",
			Read: read},
		DedupeBy:    "event id",
		SuccessRule: "any 2xx", SuccessOf: Source{Level: Documented, URL: page, Read: read},
		Reply: `{"received":true}`,
		Deadline: Deadline{Source: Source{Level: Assumed,
			Note: "Stripe says \"quickly\" and states no time"}, Total: 10 * time.Second},
		Schedule: Schedule{
			Source: Source{
				Level: Documented,
				URL:   page + "#automatic-retries",
				Read:  read,
				Note: "up to three days with exponential back-off; the number of tries is not " +
					"stated",
			},
			Window: 72 * time.Hour,
			Waits: []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute,
				40 * time.Minute, 80 * time.Minute, 160 * time.Minute, 320 * time.Minute,
				640 * time.Minute,
				12 * time.Hour, 12 * time.Hour, 12 * time.Hour, 12 * time.Hour,
				165 * time.Minute},
			Spacing: Source{Level: Assumed,
				Note: "doubling from 5 min to at most 12 h, the last at 72 h"},
			NoLoss: 36 * time.Hour,
		},
		Redirects: Trait{
			Source: Source{
				Level: Documented,
				URL:   "https://support.stripe.com/questions/webhooks-what-to-do-when-the-http-status-code-starts-with-a-three-(3xx)",
				Read:  read,
				Note:  "any redirect is a failure",
			},
		},
		Pinned: Trait{Source: Source{Level: Assumed, Note: "not stated"}},
		Removal: Removal{Source: Source{Level: Community, URL: page, Read: planRead,
			Note: "after how long is not stated; a disabled endpoint gets no further retries"},
			What: "Stripe may disable the endpoint"},
		Recovery: Recovery{Source: Source{Level: Documented,
			URL: "https://docs.stripe.com/webhooks/process-undelivered-events", Read: read},
			Action: "List events with delivery_success=false and enqueue the missing ones; or " +
				"resend from the dashboard (15 days) or the CLI (30 days).",
			For: 30 * 24 * time.Hour},
		Trap: "A disabled endpoint stops the retries. In a sandbox there are only three " +
			"retries over a few hours, so 72 h cannot be seen there.",
		scheme: official{}, object: "data.object.id", identify: stripeEvent,
		request: stripeOrder,
	}
}

// StripeSandbox is Stripe in a sandbox.
func StripeSandbox() Sender {
	p := Stripe()
	p.Variant = "sandbox"
	p.Schedule = Schedule{
		Source: Source{Level: Documented,
			URL: "https://docs.stripe.com/webhooks#automatic-retries", Read: read,
			Note: "three times over a few hours"},
		Retries: 3, Waits: []time.Duration{time.Hour, time.Hour, time.Hour},
		Spacing: Source{Level: Assumed, Note: "one an hour"}, NoLoss: time.Hour,
	}
	return p
}

// Shopify with subscriptions made through the Admin API, the worse case: they are
// deleted.
func Shopify() Sender {
	const (
		https   = "https://shopify.dev/docs/apps/build/webhooks/subscribe/https"
		changed = "https://shopify.dev/changelog/updates-to-webhook-retry-mechanism"
	)
	return Sender{
		ID: "shopify", Name: "Shopify", Variant: "subscription by Admin API",
		Signature: Source{Level: Documented,
			URL:  "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
			Read: planRead}, Header: "X-Shopify-Hmac-Sha256",
		Dedupe: Source{Level: Documented,
			URL: "https://shopify.dev/apps/build/webhooks/ignore-duplicates", Read: planRead,
			Note: "the header is not part of what is signed"},
		DedupeBy:    "X-Shopify-Event-Id, else the order's id",
		SuccessRule: "any 2xx",
		SuccessOf:   Source{Level: Documented, URL: https, Read: read}, Reply: "",
		Deadline: Deadline{Source: Source{Level: Documented, URL: https, Read: planRead},
			Connect: time.Second, Total: 5 * time.Second},
		Schedule: Schedule{
			Source: Source{Level: Documented, URL: changed, Read: read, Note: "8 times over 4 " +
				"hours, exponential, since 2024-09-10; many pages still tell of 19 times in 48 h"},
			Retries: 8, Window: 4 * time.Hour, Waits: doubling(8, 4*time.Hour),
			Spacing: Source{Level: Assumed, Note: "doubling, the last at 4 h"},
			NoLoss:  2 * time.Hour,
		},
		Redirects: Trait{Source: Source{Level: Assumed, Note: "integrators quote an earlier " +
			"document that redirects are errors; the page itself could not be found"}},
		Pinned: Trait{Source: Source{Level: Documented, URL: changed, Read: read},
			Holds: true},
		Removal: Removal{Source: Source{Level: Documented, URL: https, Read: planRead,
			Note: "after 8 consecutive failures; read as the last retry of one event. What " +
				"becomes of other pending retries is not stated: taken as dropped"},
			What: "the subscription is deleted", AfterLastTry: true, StopsPending: true},
		Recovery: Recovery{Source: Source{Level: Documented,
			URL: "https://shopify.dev/docs/apps/build/webhooks/best-practices", Read: planRead},
			Action: "Subscribe again, then enqueue orders by updated_at from before the outage " +
				"through the Admin API."},
		Trap: "Retries go to the address that was configured when the event was triggered: " +
			"changing the address does not redirect them. Keep the old address answering.",
		scheme: bare{}, object: "id", identify: shopifyEvent, request: shopifyOrder,
	}
}

// ShopifyAppConfig is Shopify with subscriptions declared in the app's configuration,
// which are not deleted.
func ShopifyAppConfig() Sender {
	p := Shopify()
	p.Variant = "subscription in the app's configuration"
	p.Removal = Removal{}
	p.Recovery.Action =
		"Take in orders by updated_at from before the outage through the Admin API."
	return p
}

const bulletTrain = "https://github.com/bullet-train-co/bullet_train-core/tree/main/bullet_train-outgoing_webhooks"

// ClickFunnels is ClickFunnels 2.0. Its retries are unpublished; they are taken from
// the library whose names its webhooks carry.
func ClickFunnels() Sender {
	library := func(note string) Source {
		return Source{Level: Community, URL: bulletTrain, Read: read, Note: note}
	}
	verify := Source{
		Level: Documented,
		URL:   "https://developers.myclickfunnels.com/docs/signature-verification",
		Read:  planRead,
	}
	return Sender{
		ID: "clickfunnels", Name: "ClickFunnels 2.0", Variant: "six tries",
		Signature: verify, Header: "X-Webhook-ClickFunnels-Signature",
		Tolerance: 600 * time.Second,
		Dedupe:    library(""), DedupeBy: "event_id, else the order's id",
		SuccessRule: "any 2xx", SuccessOf: library(""), Reply: `{"received":true}`,
		Deadline: Deadline{Source: library(
			"the library sets none; 60 s to connect and to read are its language's"),
			Connect: time.Minute, Total: time.Minute},
		Schedule: Schedule{
			Source: library("ClickFunnels publishes no schedule. Classic: none found " +
				"either, so take it as no retry"),
			Retries: 5, Window: 81*time.Minute + 15*time.Second, Waits: []time.Duration{15 *
				time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour},
			Spacing: library("15 s, 1 m, 5 m, 15 m, 1 h after a failure"),
		},
		Redirects: Trait{Source: library("its HTTP call does not follow any")},
		Pinned: Trait{Source: library(
			"the address is stored with the delivery when the event is made"), Holds: true},
		Removal: Removal{Source: library(
			"off unless configured: 50 exhausted deliveries, then 3 days"),
			What: "the endpoint may be deactivated"},
		Recovery: Recovery{Source: Source{Level: Documented,
			URL: "https://developers.myclickfunnels.com/reference/order", Read: read,
			Note: "events are not listed, only orders"},
			Action: "List orders through the API and enqueue the missing ones."},
		Trap: "4xx answers are retried like 5xx. The secret is shown once, when the " +
			"endpoint is made.",
		scheme: split{timestamp: "X-Webhook-ClickFunnels-Timestamp"}, object: "subject_id",
		identify: clickFunnelsEvent, request: clickFunnelsOrder,
	}
}

// ClickFunnelsSevenTries has the further try that the library got on 2025-07-11.
func ClickFunnelsSevenTries() Sender {
	p := ClickFunnels()
	p.Variant = "seven tries"
	p.Schedule.Retries, p.Schedule.Window = 6, p.Schedule.Window+24*time.Hour
	p.Schedule.Waits = append(p.Schedule.Waits, 24*time.Hour)
	p.Schedule.Spacing.Note =
		"as before, and once more after 24 h (library of 2025-07-11 and later)"
	return p
}

// CopeCart sends IPN, its older form. Its document is known through those who quote it.
func CopeCart() Sender {
	ipn := Source{
		Level: Documented,
		URL:   "https://s3.eu-central-1.amazonaws.com/shared.copecart.com/IPN_CopeCart_v_1.6.7_.pdf",
		Read:  read,
		Note:  "as quoted by integrators",
	}
	evenly := make([]time.Duration, 10)
	for i := range evenly {
		evenly[i] = 18 * time.Minute
	}
	nothing := func(note string) Source { return Source{Level: Assumed, Note: note} }
	return Sender{
		ID: "copecart", Name: "CopeCart", Variant: "IPN",
		Signature: ipn, Header: "X-Copecart-Signature",
		Dedupe: ipn, DedupeBy: "transaction_id and event_type (there is no event id)",
		SuccessRule: "2xx with a body of exactly OK", SuccessOf: ipn, Reply: "OK",
		Deadline: Deadline{Source: nothing("not found"), Total: 10 * time.Second},
		Schedule: Schedule{Source: ipn, Retries: 10, Window: 3 * time.Hour, Waits: evenly,
			Spacing: nothing("evenly, every 18 min"), NoLoss: 90 * time.Minute},
		Redirects: Trait{Source: nothing("not found; taken as a failure")},
		Pinned:    Trait{Source: nothing("not found")},
		Recovery: Recovery{
			Source: nothing(
				"no API found to list orders or resend notifications"),
			Action: "Export the orders from that time on the vendor's site, or ask support to " +
				"resend the notifications.",
		},
		Trap: "Any other body, such as JSON with a 200, is a failure: the order comes " +
			"eleven times.",
		scheme: bare{}, object: "order_id", identify: copeCartEvent, request: copeCartOrder,
		exactly: "OK",
	}
}

// COPE is the newer platform of CopeCart's vendor.
func COPE() Sender {
	sample := Source{
		Level: Observed,
		URL:   "https://github.com/copecart/integration-samples",
		Read:  read,
	}
	docs := Source{
		Level: Documented,
		URL:   "https://docs.cope.com/webhooks/overview",
		Read:  read,
	}
	like := CopeCart().Schedule.Waits
	return Sender{
		ID: "cope", Name: "COPE", Variant: "CloudEvents",
		Signature: sample, Header: "X-Cope-Signature", Tolerance: 300 * time.Second,
		Dedupe: docs, DedupeBy: "CloudEvents source and id, else X-Cope-Event-Id",
		SuccessRule: "any 2xx", SuccessOf: docs, Reply: `{"status":"received"}`,
		Deadline: Deadline{Source: Source{Level: Assumed, Note: "not found"},
			Total: 10 * time.Second},
		Schedule: Schedule{
			Source: Source{Level: Observed, URL: sample.URL, Read: read,
				Note: "5xx is retried with back-off; how often and how long is not stated"},
			Waits: like, Spacing: Source{Level: Assumed,
				Note: "as CopeCart's IPN, ten times in 3 h"}, Terminal: "4xx",
		},
		Redirects: Trait{Source: Source{Level: Assumed, Note: "not found; taken as a failure"}},
		Pinned:    Trait{Source: Source{Level: Assumed, Note: "not found"}},
		Recovery: Recovery{Source: Source{Level: Documented,
			URL: "https://docs.cope.com/webhooks/deliveries", Read: read,
			Note: "for how long back is not stated; no route of an API for it was found"},
			Action: "Replay the failed deliveries of the time; a bulk replay is a job."},
		Trap: "A 4xx ends the retries at once: never answer 401, 404 or 429 because " +
			"something of your own is down.",
		scheme: timed{}, object: "subject", identify: copeEvent, request: copeOrder,
		terminal4x: true,
	}
}

// doubling gives n waits, each twice the one before, that make up total.
func doubling(n int, total time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	var sum time.Duration
	for i := range out[:n-1] {
		out[i] = (total * (1 << i) / (1<<n - 1)).Round(time.Second)
		sum += out[i]
	}
	out[n-1] = total - sum
	return out
}

// object is a JSON object whose fields are read for what they are worth: one that is
// missing or of an odd type never costs an order.
type object map[string]json.RawMessage
