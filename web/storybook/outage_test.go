package storybook

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/web/outagepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

// storyOutage is an outage of two hours, or none.
func storyOutage(on bool) workflows.Outage {
	sourced := func(text, level string) workflows.SourcedText {
		return workflows.SourcedText{
			Text: text, Level: level, URL: "https://example.com/docs",
			Note: "as of 2026-11",
		}
	}
	since := storyTime.Add(-2 * time.Hour)
	out := workflows.Outage{
		At: storyTime, WhatIf: 5 * time.Hour,
		Prospect: workflows.OutageProspect{Lost: 212, NeedsIt: []string{"Shopify"},
			Advice: "Stripe: orders come late, none is lost. Shopify: orders are lost. Take " +
				"orders in durably: write each down before the queue, answer success, enqueue " +
				"later. Shopify need it; a longer 503 does not help."},
	}
	next, gone := storyTime.Add(21*time.Minute), storyTime.Add(2*time.Hour)
	shopify := workflows.ProviderOutage{
		Ask: "No token of Shopify is configured: set shopify.shop, and shopify.token with " +
			"read_orders and read_customers, or hand over an export of it as a file.",
		Sends: true, PerMinute: 1.2, RateFrom: "measured", MeanValue: 49.9, Currency: "EUR",
		Provider: workflows.ProviderFacts{
			ID: "shopify", Name: "Shopify", Variant: "subscription by Admin API",
			Success: "any 2xx", Deadline: sourced("5 s", "documented"),
			Schedule: sourced("8 retries within 4 h", "documented"),
			NoLoss:   sourced("2 h", "documented"), LastTry: sourced("4 h", "assumed"),
			After: sourced(
				"the subscription is deleted", "documented",
			),
			Recovery: sourced(
				"Subscribe again, then enqueue orders by updated_at from before the outage through the Admin API.",
				"documented",
			),
			DedupeBy: sourced("X-Shopify-Event-Id", "documented"),
			Trap: "Retries go to the address that was configured when the event was " +
				"triggered. Keep the old address answering.",
		},
		Forecast: workflows.Forecast{
			Verdict: "lost", Refused: 360, Lost: 212, ValueLost: 10578.8,
			LatestBy: 2 * time.Hour, LosesUntil: "the endpoint is made again",
			Recovery:   "Subscribe again, then take in orders by updated_at.",
			Confidence: "assumed",
		},
	}
	stripe := workflows.ProviderOutage{
		CanAsk: true, Ask: "Stripe lists the events of the last 30 days.", Sends: true,
		PerMinute: 0.4, RateFrom: "configured",
		Provider: workflows.ProviderFacts{
			ID: "stripe", Name: "Stripe", Variant: "live mode", Success: "any 2xx",
			Deadline: sourced("10 s", "assumed"),
			Schedule: sourced(
				"13 retries within 3 d", "documented",
			),
			NoLoss: sourced("36 h", "documented"), LastTry: sourced("3 d", "assumed"),
			After: sourced("Stripe may disable the endpoint", "community"),
			Recovery: sourced(
				"List events with delivery_success=false and enqueue the missing ones.",
				"documented",
			),
			DedupeBy: sourced("event id", "documented"),
			Trap:     "A disabled endpoint stops the retries.",
		},
		Forecast: workflows.Forecast{
			Verdict: "late", Refused: 120, LatestBy: 160 * time.Minute,
			Confidence: "assumed",
		},
	}
	if on {
		out.Since = &since
		shopify.Missing, shopify.Orders = 141, []string{
			"gid://shopify/Order/1", "gid://shopify/Order/2",
		}
		shopify.Clock = &workflows.OutageClock{
			FirstFailed: since, NextRetry: &next, FirstLoss: gone, Left: 2 * time.Hour,
			LossBefore: storyTime, AtRisk: 144, ValueAtRisk: 7185.6, RemovedAt: &gone,
			Removal: "the subscription is deleted", Severity: "critical",
			Confidence: "assumed",
		}
	}
	copecart := workflows.ProviderOutage{
		Ask: "No API of CopeCart is known that lists orders or sends them again. Export the " +
			"orders of the time from the vendor's pages, or ask support to send the " +
			"notifications again. What comes of it can be handed over as a file.",
		Provider: workflows.ProviderFacts{
			ID: "copecart", Name: "CopeCart", Variant: "IPN",
			Success: "2xx with a body of exactly OK", Deadline: sourced("10 s", "assumed"),
			Schedule: sourced("10 retries within 3 h", "documented"),
			NoLoss: sourced(
				"1 h 30 min", "documented",
			),
			LastTry:  sourced("3 h", "assumed"),
			After:    sourced("it stops retrying", "documented"),
			Recovery: sourced("Export the orders of the time from the vendor's pages.", "assumed"),
			DedupeBy: sourced(
				"transaction_id and event_type", "documented",
			),
			Trap: "Any other body, such as JSON with a 200, is a failure.",
		},
		Forecast: workflows.Forecast{
			Verdict: "lost", LatestBy: time.Hour,
			Recovery: "Export the orders of the time.", Confidence: "assumed",
		},
	}
	out.Providers = []workflows.ProviderOutage{shopify, stripe, copecart}
	out.Intake = &workflows.IntakeOutlook{
		Instances: 2, Durable: 2, MaxBytes: 512 << 20, Bytes: 3 << 20, PerOrder: 8 << 10,
		Guessed: true, Lasts: 680 * time.Hour,
	}
	if on {
		*out.Intake = workflows.IntakeOutlook{
			Instances: 2, Durable: 1, Backlog: 144, OldestMS: 7_140_000, Bytes: 300 << 10,
			MaxBytes: 256 << 20, PerOrder: 2133, Lasts: 1400 * time.Hour,
		}
	}
	return out
}

// storyOutageOfMany is an outage where five providers send orders here, one of which misses some.
func storyOutageOfMany() workflows.Outage {
	out := storyOutage(true)
	for i, id := range []string{"clickfunnels", "cope"} {
		p := out.Providers[i]
		p.Provider.ID, p.Provider.Name, p.Clock = id, "Another "+p.Provider.Name, nil
		out.Providers = append(out.Providers, p)
	}
	out.Providers[2].Sends = true
	return out
}

func outageStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	out["outage"] = story{
		frame: frame("Outage clock", "outage", "/m/order-pipeline/outage", engineer),
		page: outagepages.OutagePage(
			outagepages.Outage{
				MigrationID: mid, Outage: storyOutage(true), Now: storyTime,
				Who: engineer,
			},
		),
	}
	out["outage-many"] = story{
		frame: frame("Outage clock", "outage", "/m/order-pipeline/outage", engineer),
		page: outagepages.OutagePage(
			outagepages.Outage{
				MigrationID: mid, Outage: storyOutageOfMany(), Now: storyTime,
				Who: engineer,
			},
		),
	}
	out["outage-none"] = story{
		frame: frame("Outage clock", "outage", "/m/order-pipeline/outage", viewer),
		page: outagepages.OutagePage(
			outagepages.Outage{
				MigrationID: mid, Outage: storyOutage(false), Now: storyTime,
			},
		),
	}
	return out
}
