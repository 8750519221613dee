package webhookretry

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestRetryEvidenceTellsOfEachProviderWhatWasSeenAndWhatIsStated(t *testing.T) {
	t.Parallel()
	back := func(provider string, ms int64) ledger.RetryStory {
		return ledger.RetryStory{Order: provider, Event: "evt", Provider: provider, Acknowledged: true, Recovered: true, Applied: 1, RecoveredAfterMS: ms}
	}
	for _, tc := range []struct {
		rule    string
		stories []ledger.RetryStory
		kept    []ledger.RetryStory
		senders []string
		want    []evidence.ProviderRetries
	}{
		{"each by itself, the busiest first", []ledger.RetryStory{back("shopify", 900), back("stripe", 500), back("stripe", 700)}, nil, []string{"stripe", "shopify"}, []evidence.ProviderRetries{
			{Provider: "Stripe", Refused: 2, Recovered: 2, AppliedOnce: 2, LongestMS: 700, WindowSeconds: 72 * 3600, Proof: "documented"},
			{Provider: "Shopify", Refused: 1, Recovered: 1, AppliedOnce: 1, LongestMS: 900, WindowSeconds: 4 * 3600, Proof: "documented"}}},
		{"what others tell is not documented", []ledger.RetryStory{back("clickfunnels", 1)}, nil, nil, []evidence.ProviderRetries{
			{Provider: "ClickFunnels 2.0", Refused: 1, Recovered: 1, AppliedOnce: 1, LongestMS: 1, WindowSeconds: 81*60 + 15, Proof: "community"}}},
		{"a sender of which none was refused is told", []ledger.RetryStory{back("stripe", 1)}, nil, []string{"stripe", "cope"}, []evidence.ProviderRetries{
			{Provider: "Stripe", Refused: 1, Recovered: 1, AppliedOnce: 1, LongestMS: 1, WindowSeconds: 72 * 3600, Proof: "documented"}, {Provider: "COPE", Proof: "observed"}}},
		{"one that did not come back, one that ran twice", []ledger.RetryStory{{Order: "a", Provider: "copecart"}, {Order: "b", Event: "evt", Provider: "copecart", Acknowledged: true, Recovered: true, Applied: 2, RecoveredAfterMS: 5}}, nil, nil,
			[]evidence.ProviderRetries{{Provider: "CopeCart", Refused: 2, Recovered: 1, LongestMS: 5, WindowSeconds: 3 * 3600, Proof: "documented"}}},
		{"another event of the order was acknowledged", []ledger.RetryStory{{Order: "a", Event: "evt_2", Provider: "cope", Applied: 1}}, nil, nil,
			[]evidence.ProviderRetries{{Provider: "COPE", Refused: 1, AppliedOnce: 1, Proof: "observed"}}},
		{"an app that does not name events", []ledger.RetryStory{{Order: "a", Provider: "cope", Acknowledged: true, Recovered: true, Applied: 1}}, nil, nil,
			[]evidence.ProviderRetries{{Provider: "COPE", Refused: 1, AppliedOnce: 1, Proof: "observed"}}},
		{"somebody that nobody knows", []ledger.RetryStory{back("paypal", 1), back("", 2)}, nil, nil, []evidence.ProviderRetries{
			{Provider: "an unnamed provider", Refused: 1, Recovered: 1, AppliedOnce: 1, LongestMS: 2}, {Provider: "paypal", Refused: 1, Recovered: 1, AppliedOnce: 1, LongestMS: 1}}},
		{"an event that had been acknowledged before it was refused", []ledger.RetryStory{
			{Order: "a", Event: "evt", Provider: "cope", Acknowledged: true, Applied: 1,
				Deliveries: []ledger.Delivery{{Status: 200}, {Status: 503}}},
		}, nil, nil, nil},
		{"refused, acknowledged, and refused once more", []ledger.RetryStory{
			{Order: "a", Event: "evt", Provider: "cope", Acknowledged: true, Recovered: true,
				Applied: 1, RecoveredAfterMS: 2,
				Deliveries: []ledger.Delivery{{Status: 503}, {Status: 200}, {Status: 503}}},
		}, nil, nil, []evidence.ProviderRetries{{Provider: "COPE", Refused: 1, Recovered: 1,
			AppliedOnce: 1, LongestMS: 2, Proof: "observed"}}},
		{"an event without an id, of an order that was acknowledged before", []ledger.RetryStory{
			{Order: "a", Provider: "cope", Acknowledged: true, Applied: 1,
				Deliveries: []ledger.Delivery{{Status: 200}, {Status: 503}}},
		}, nil, nil, []evidence.ProviderRetries{{Provider: "COPE", Refused: 1, AppliedOnce: 1,
			Proof: "observed"}}},
		{"kept by the durable intake instead of refused", nil, []ledger.RetryStory{back("shopify", 9)}, []string{"shopify"}, []evidence.ProviderRetries{
			{Provider: "Shopify", Kept: 1, WindowSeconds: 4 * 3600, Proof: "documented"}}},
		{"nobody", nil, nil, nil, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			got := retryFacts(tc.stories, tc.kept, tc.senders)
			if !slices.Equal(got.Providers, tc.want) {
				t.Errorf("%+v\nwant %+v", got.Providers, tc.want)
			}
			var sum evidence.RetryFacts
			for _, p := range got.Providers {
				sum.Refused, sum.Recovered, sum.AppliedOnce, sum.LongestMS = sum.Refused+p.Refused, sum.Recovered+p.Recovered, sum.AppliedOnce+p.AppliedOnce, max(sum.LongestMS, p.LongestMS)
			}
			if sum.Refused != got.Refused || sum.Recovered != got.Recovered || sum.AppliedOnce != got.AppliedOnce || sum.LongestMS != got.LongestMS {
				t.Errorf("%+v does not add up to %+v", got.Providers, got)
			}
		})
	}
}

// Who is asked is who sends by the configuration and whoever the journal knows.
func TestAConfiguredSenderThatWasSilentForAWeekIsAsked(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	orders := ledger.NewJournal()
	for seq, provider := range []string{"stripe", "cope"} {
		orders.Apply(ledger.Event{Seq: int64(seq + 1), At: now.UnixMilli() - 1000,
			Type: ledger.EventDelivery, Order: provider, Provider: provider,
			Status: 200})
	}
	s := Parts{Senders: []string{"stripe", "shopify"}}
	got := slices.Sorted(slices.Values(s.senders(orders, now)))
	if want := []string{"cope", "shopify", "stripe"}; !slices.Equal(got, want) {
		t.Errorf("asked are %v, want %v", got, want)
	}
	facts := s.facts(refusal{From: now.Add(-time.Minute)}, orders, now)
	facts.Refused, facts.Recovered, facts.AppliedOnce = 1, 1, 1
	raw, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	rule, _ := evidence.Of(evidence.Retries)
	if met, says, err := rule.Judge(raw); met {
		t.Errorf("it is met without Shopify: %s, %v", says, err)
	}
}
