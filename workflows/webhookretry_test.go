package workflows

import "testing"

func TestRetryEvidenceNamesWhoDeliveredAndTheShortestWindow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule  string
		seen  []string
		names string
		hours int
	}{
		{"one provider", []string{"stripe", "stripe"}, "stripe", 72},
		{"the shortest of several counts", []string{"stripe", "shopify", "copecart"}, "copecart, shopify, stripe", 3},
		{"one without a documented window makes it unknown", []string{"stripe", "clickfunnels"}, "clickfunnels, stripe", 0},
		{"nobody", nil, "", 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			if names, hours := providers(tc.seen); names != tc.names || hours != tc.hours {
				t.Errorf("%q, %d h; want %q, %d h", names, hours, tc.names, tc.hours)
			}
		})
	}
}
