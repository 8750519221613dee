package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestAPaymentProviderIsAskedWhetherItsKeyMayReadWhatWasLost(t *testing.T) {
	t.Parallel()
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	funnels := &webhookstest.ClickFunnels{Token: "cf_CANARY", Workspace: 42}
	busy := &webhookstest.ClickFunnels{Token: "cf_CANARY", Workspace: 42}
	busy.Limit(1000)
	throttled := &webhookstest.Shopify{Token: "shpat_CANARY"}
	throttled.Throttle(1000)
	shop := func(s *webhookstest.Shopify, token string) func(*config.Config) {
		return func(c *config.Config) {
			c.Shopify = config.Shopify{API: serve(s), Token: migration.Secret(token)}
		}
	}
	stripe := func(key string, types ...string) func(*config.Config) {
		return func(c *config.Config) {
			c.Stripe = config.Stripe{Key: migration.Secret(key), Types: types,
				API: serve(&webhookstest.Stripe{Key: "rk_CANARY", Now: time.Now})}
		}
	}
	click := func(s *webhookstest.ClickFunnels, token string, workspace int) func(*config.Config) {
		return func(c *config.Config) {
			c.ClickFunnels = config.ClickFunnels{API: serve(s), Workspace: workspace,
				Token: migration.Secret(token)}
		}
	}
	refuses := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	for rule, tc := range map[string]struct {
		change func(*config.Config)
		key    string
		state  doctor.State
		said   string
	}{
		"no key of Stripe": {func(*config.Config) {}, "stripe.key", doctor.Absent, "not asked"},
		"Stripe's key":     {stripe("rk_CANARY"), "stripe.key", doctor.OK, "Stripe lists events"},
		"another key":      {stripe("rk_CANARY-2"), "stripe.key", doctor.Fails, "401"},
		"a key that may not read events": {func(c *config.Config) {
			c.Stripe.Key = "rk_CANARY"
			c.Stripe.API = serve(refuses(http.StatusForbidden, `{"error":{"message":"The key `+
				`rk_CANARY does not have the required permissions."}}`))
		}, "stripe.key", doctor.Fails, "required permissions"},
		"too many types": {stripe("rk_CANARY", strings.Fields(strings.Repeat("a ", 21))...),
			"stripe.key", doctor.Fails, "at most 20 types"},
		"no Stripe there": {func(c *config.Config) {
			c.Stripe = config.Stripe{Key: "rk_CANARY", API: "http://127.0.0.1:1"}
		}, "stripe.key", doctor.Fails, ""},

		"no token of Shopify": {func(*config.Config) {}, "shopify.token", doctor.Absent, ""},
		"Shopify's token": {shop(&webhookstest.Shopify{Token: "shpat_CANARY"}, "shpat_CANARY"),
			"shopify.token", doctor.OK, "the token has read_orders, read_customers"},
		"another token": {shop(&webhookstest.Shopify{Token: "shpat_CANARY"}, "shpat_CANARY-2"),
			"shopify.token", doctor.Fails, "401"},
		"a token for customers alone": {shop(&webhookstest.Shopify{Token: "shpat_CANARY",
			Scopes: []string{"read_customers"}}, "shpat_CANARY"),
			"shopify.token", doctor.Fails, "has read_customers, and not read_orders"},
		"a token that may write orders": {shop(&webhookstest.Shopify{Token: "shpat_CANARY",
			Scopes: []string{"write_orders", "read_orders"}}, "shpat_CANARY"),
			"shopify.token", doctor.Fails, "and not read_customers"},
		"a throttled shop": {shop(throttled, "shpat_CANARY"),
			"shopify.token", doctor.Unknown, "too many questions"},

		"no token of ClickFunnels": {func(*config.Config) {}, "clickfunnels.token", doctor.Absent, ""},
		"ClickFunnels' token": {click(funnels, "cf_CANARY", 42),
			"clickfunnels.token", doctor.OK, "the orders of workspace 42"},
		"another team's token": {click(funnels, "cf_CANARY-2", 42),
			"clickfunnels.token", doctor.Fails, "401"},
		"another workspace": {click(funnels, "cf_CANARY", 43),
			"clickfunnels.token", doctor.Fails, "404"},
		"a busy ClickFunnels": {click(busy, "cf_CANARY", 42),
			"clickfunnels.token", doctor.Unknown, "too many questions"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			c := configured(t, "redis://127.0.0.1:1")
			tc.change(&c)
			f := examine(t, c)[tc.key]
			if f.State != tc.state || !strings.Contains(f.Said, tc.said) {
				t.Errorf("%+v", f)
			}
			// Of the criteria only that of the webhook retries asks a provider, and a key that is
			// not there is not asked.
			needed := ""
			if tc.key == "stripe.key" && tc.state == doctor.Fails {
				needed = evidence.Retries
			}
			if got := strings.Join(f.For, " "); got != needed {
				t.Errorf("it is needed for %q, want %q", got, needed)
			}
		})
	}
}

func TestChannelsAreToldAndSentNothing(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("something was sent")
	}))
	defer s.Close()
	for rule, tc := range map[string]struct {
		channels []config.Notification
		state    doctor.State
		said     string
	}{
		"none": {nil, doctor.Absent, "nobody is told"},
		"one for everything": {[]config.Notification{{Name: "ops", Type: "slack",
			URL: migration.Secret(s.URL + "/CANARY")}}, doctor.OK,
			"ops (slack) is told of approval, change, alert from warning on; nothing was sent: " +
				"switchyard notifications test ops"},
		"one for what is bad": {[]config.Notification{{Name: "pager", Type: "pagerduty",
			RoutingKey: "R0CANARY", Events: []string{"alert"}, MinSeverity: "error"}}, doctor.OK,
			"pager (pagerduty) is told of alert from error on"},
		"one for leads": {[]config.Notification{{Name: "leads", Type: "slack", Digest: true,
			URL: migration.Secret(s.URL + "/CANARY"), Events: []string{"approval"}}}, doctor.OK,
			"leads (slack) is told of approval, the weekly digest; nothing was sent"},
		"one that cannot work": {[]config.Notification{{Name: "ops", Type: "slack",
			URL: "http://hooks.example.com/CANARY"}}, doctor.Fails, "ops: https is needed"},
	} {
		c := configured(t, "redis://127.0.0.1:1")
		c.Notifications = tc.channels
		f := examine(t, c)["notifications"]
		if f.State != tc.state || !strings.Contains(f.Said, tc.said) || len(f.For) > 0 {
			t.Errorf("%s: %+v", rule, f)
		}
	}
}
