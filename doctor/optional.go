package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/alarm"
)

// What is here is optional: no criterion needs it, unless it is configured and does not work.

const orByFile = " It is optional: an export of it can be handed over as a file."

// stripe says whether the key may read events. The step Test the webhook retries asks Stripe too,
// once it has a key.
func (e examiner) stripe(ctx context.Context) []Finding {
	const key = "stripe.key"
	c := e.Stripe
	if c.Key.IsZero() {
		return absent(key, "Stripe is not asked for what was lost",
			"Give stripe.key, a restricted key that may read events."+orByFile)
	}
	return lists(ctx, key, "Stripe lists events", webhooks.StripeEvents{Base: c.API, HTTP: e.http,
		Key: c.Key, Types: c.Types, Acknowledged: true},
		"Check stripe.key: a restricted key that may read events.", retry...)
}

// shopifyScopes are what a lost order is read with.
var shopifyScopes = []string{"orders", "customers"}

// shopify says whether the token may read orders, and who made them.
func (e examiner) shopify(ctx context.Context) []Finding {
	const key = "shopify.token"
	c := e.Shopify
	if c.Token.IsZero() {
		return absent(key, "Shopify is not asked for what was lost", "Give shopify.shop, and "+
			"shopify.token with read_orders and read_customers."+orByFile)
	}
	client := webhooks.ShopifyOrders{Base: c.API, Shop: c.Shop, HTTP: e.http, Token: c.Token,
		Wait: impatient}
	const next = "Check shopify.shop, and shopify.token: one of the Admin API with read_orders " +
		"and read_customers."
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	may, err := client.Scopes(asked)
	if err != nil {
		return []Finding{refused(key, err, next)}
	}
	var lacks []string
	for _, s := range shopifyScopes { // who may write may read
		if !slices.Contains(may, "read_"+s) && !slices.Contains(may, "write_"+s) {
			lacks = append(lacks, "read_"+s)
		}
	}
	if len(lacks) > 0 {
		return []Finding{{Key: key, State: Fails,
			Said: fmt.Sprintf("the token has %s, and not %s", list(may, "no scope"),
				strings.Join(lacks, ", ")),
			Next: "In the shop, give the app " + strings.Join(lacks, " and ") + "."}}
	}
	return lists(ctx, key, "Shopify lists orders, and the token has "+list(may, ""), client, next)
}

// clickFunnels says whether the token may read the workspace's orders.
func (e examiner) clickFunnels(ctx context.Context) []Finding {
	const key = "clickfunnels.token"
	c := e.ClickFunnels
	if c.Token.IsZero() {
		return absent(key, "ClickFunnels is not asked for what was lost", "Give clickfunnels.api, "+
			"clickfunnels.workspace and clickfunnels.token."+orByFile)
	}
	return lists(ctx, key, fmt.Sprintf("ClickFunnels lists the orders of workspace %d", c.Workspace),
		webhooks.ClickFunnelsOrders{Base: c.API, Workspace: c.Workspace, HTTP: e.http,
			Token: c.Token, Wait: impatient},
		"Check clickfunnels.api, clickfunnels.workspace and clickfunnels.token.")
}

// errBusy is told where a provider has us wait. That it knows the key, it does not say.
var errBusy = errors.New("the provider has answered too many questions: nobody tells whether " +
	"the key is good")

func impatient(context.Context, time.Duration) error { return errBusy }

// lists asks a provider for what it has since now, by the client that fetches what was lost. That
// is next to nothing, and proves that the key may read it.
func lists(
	ctx context.Context, key, said string, r webhooks.Recoverer, next string, needed ...string,
) []Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	known := func(webhooks.Event) bool { return true }
	if _, err := r.Missing(ctx, time.Now(), known); err != nil {
		return []Finding{refused(key, err, next, needed...)}
	}
	return []Finding{ok(key, said)}
}

func refused(key string, err error, next string, needed ...string) Finding {
	if errors.Is(err, errBusy) {
		return Finding{Key: key, State: Unknown, Said: errBusy.Error(), Next: "Ask again later.",
			For: needed}
	}
	return failed(key, err, next, needed...)
}

func absent(key, said, next string) []Finding {
	return []Finding{{Key: key, State: Absent, Said: said, Next: next}}
}

// channels says who is told of approvals, changes and alerts. Nothing is sent.
func (e examiner) channels(context.Context) []Finding {
	const key = "notifications"
	if len(e.Notifications) == 0 {
		return absent(key, "nobody is told of approvals and alerts",
			"Give notifications (docs/notifications.md). They are optional.")
	}
	var out []Finding
	for _, n := range e.Notifications {
		if _, err := alarm.OpenChannel(n); err != nil {
			out = append(out, failed(key, fmt.Errorf("%s: %w", n.Name, err), "Correct it."))
			continue
		}
		out = append(out, ok(key, fmt.Sprintf("%s (%s) is told of %s; nothing was sent: switchyard "+
			"notifications test %s sends a test", n.Name, n.Type, told(n), n.Name)))
	}
	return out
}

// told lists what a channel takes.
func told(n config.Notification) string {
	kinds := n.Events
	if len(kinds) == 0 {
		kinds = []string{"approval", "change", "alert"}
	}
	var out []string
	for _, k := range kinds {
		if k == "alert" {
			k = "alert from " + cmp.Or(n.MinSeverity, "warning") + " on"
		}
		out = append(out, k)
	}
	if n.Digest {
		out = append(out, "the weekly digest")
	}
	return strings.Join(out, ", ")
}
