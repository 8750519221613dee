package webhooks_test

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/webhooks"
)

// What a failover and a long outage do to a shop with ten orders a minute from each
// provider.
func ExampleWhatIf() {
	var flows []webhooks.Flow
	for _, p := range webhooks.Senders() {
		flows = append(flows, webhooks.Flow{Sender: p, PerMinute: 10, MeanValue: 4900})
	}
	for _, outage := range []time.Duration{25 * time.Second, 5 * time.Hour} {
		prospect, err := webhooks.WhatIf(flows, outage)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(outage)
		for _, f := range prospect.Forecasts {
			fmt.Printf("  %-12s %-9s %4d of %d lost\n", f.Sender, f.Verdict, f.Lost, f.Refused)
		}
		fmt.Println(" ", prospect.Advice)
	}
	// Output:
	// 25s
	//   stripe       late         0 of 5 lost
	//   shopify      late         0 of 5 lost
	//   clickfunnels uncertain    0 of 5 lost
	//   copecart     late         0 of 5 lost
	//   cope         uncertain    0 of 5 lost
	//   Stripe, Shopify, CopeCart: orders come late, none is lost. ClickFunnels 2.0, COPE: nothing that is documented excludes a loss. Take orders in durably: write each down before the queue, answer success, enqueue later. ClickFunnels 2.0, COPE need it; a longer 503 does not help.
	// 5h0m0s
	//   stripe       late         0 of 3000 lost
	//   shopify      lost      3000 of 3000 lost
	//   clickfunnels lost      2188 of 3000 lost
	//   copecart     lost      1200 of 3000 lost
	//   cope         lost      1200 of 3000 lost
	//   Stripe: orders come late, none is lost. Shopify, ClickFunnels 2.0, CopeCart, COPE: orders are lost. Take orders in durably: write each down before the queue, answer success, enqueue later. Shopify, ClickFunnels 2.0, CopeCart, COPE need it; a longer 503 does not help.
}

// The outage clock, two hours into an outage.
func ExampleRead() {
	began := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	flows := []webhooks.Flow{{Sender: webhooks.CopeCart(), PerMinute: 2, MeanValue: 9900}}
	readings, err := webhooks.Read(flows, began, began.Add(2*time.Hour),
		webhooks.DefaultThresholds)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := readings[0]
	fmt.Printf("%s: %s, first loss at %s in %s, %d orders worth %.2f at risk, next try of "+
		"the first %s\n",
		r.Sender, r.Severity, r.FirstLoss.Format("15:04"), r.Left, r.AtRisk,
		float64(r.ValueAtRisk)/100, r.NextRetry.Format("15:04"))
	// Output: copecart: critical, first loss at 11:00 in 1h0m0s, 241 orders worth 23859.00 at risk, next try of the first 10:06
}
