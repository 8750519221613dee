package server

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
	"github.com/switchyard-dev/switchyard/workflows"
)

// upload sends the form of lost orders as a browser does, with a file unless it is empty.
func (b *browser) upload(r response, fields map[string]string, file string) response {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	form := r.find(`form[action$="/replays"]`)
	form.Find(`input[type="hidden"]`).Each(func(_ int, in *goquery.Selection) {
		fields[in.AttrOr("name", "")] = in.AttrOr("value", "")
	})
	for name, v := range fields {
		_ = w.WriteField(name, v)
	}
	name := ""
	if file != "" {
		name = "export.jsonl"
	}
	part, _ := w.CreateFormFile("events", name)
	_, _ = part.Write([]byte(file))
	_ = w.Close()
	to := b.st.url + form.AttrOr("action", "")
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to, &body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	return b.do(req)
}

func TestAnEngineerGetsBackWhatWasLostOnThePage(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var taken []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/switchyard/replay" {
			_, _ = fmt.Fprint(w, `{"epoch":"e","next":0,"events":[]}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, r.URL.Query().Get("provider")+" "+string(body))
	}))
	t.Cleanup(app.Close)
	shop := &webhookstest.Shopify{Token: canary + "-shopify-token"}
	shop.Add(
		webhookstest.ShopifyOrder{
			ID: 1001, CreatedAt: time.Now(), Updated: time.Now().Add(-time.Minute),
			Total: "49.90", Currency: "EUR",
		},
	)
	api := httptest.NewServer(shop)
	t.Cleanup(api.Close)
	st := serveOn(t, func(c *config.Config) {
		c.Ingestion.URL = app.URL
		c.Shopify = config.Shopify{API: api.URL, Token: migration.Secret(shop.Token)}
	})
	const path = "/m/" + mid + "/outage"
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	client := st.as(t, "ada", enginePass)
	redistest.Eventually(t, 20*time.Second, func() error {
		_, err := client.ReplayLost(
			t.Context(), mid,
			workflows.Replay{Provider: "shopify", Since: time.Now().Add(-time.Hour), Look: true},
		)
		return err // until the journal is read
	})
	page := ada.get(path)
	for id, want := range map[string]string{
		"shopify": "API available", "stripe": "stripe.key", "clickfunnels": "clickfunnels.token",
		"copecart": "No API of CopeCart", "cope": "No API of COPE",
	} {
		row := page.find(`[data-ask="` + id + `"]`)
		chosen := row.Find("[checked]").Length() > 0
		if !says(row.Text(), want) || chosen != (id == "shopify") {
			t.Errorf("%s: %s", id, row.Text())
		}
	}
	const file = `{"order_id":"o1","transaction_id":"t1","event_type":"payment.made"}`
	// While the journal is behind, as on a slow machine, nothing is handed over: so once more.
	send := func(provider, action, file string) (r response) {
		form := map[string]string{"provider": provider, "action": action, "hours": "72"}
		servertest.Eventually(t, "a ledger that is current", func() bool {
			r = ada.upload(page, form, file)
			return !strings.Contains(r.text, "The order ledger is still being read")
		})
		return r
	}
	for _, c := range []struct {
		rule, provider, action, file string
		status                       int
		says                         string
		taken                        []string
	}{
		{"looking", "shopify", "look", "", 200, "1 order is missing", nil},
		{"fetching", "shopify", "enqueue", "", 200, "1 of 1 order enqueued", []string{"shopify "}},
		{"one that cannot be asked", "cope", "enqueue", "", 412, "No API of COPE is known", nil},
		{"a file", "copecart", "enqueue", file, 200, "1 of 1 order enqueued", []string{"copecart " + file}},
		{"a file with a bad line", "copecart", "enqueue", file + "\n{}", 400, "line 2 names no " +
			"order", nil},
		{"a file of more than a request holds", "copecart", "enqueue", strings.Repeat(file+"\n", 501), 400, "501", nil},
		{"no provider", "", "look", "", 400, "is no payment provider", nil},
	} {
		r := send(c.provider, c.action, c.file)
		mu.Lock()
		same := slices.EqualFunc(taken, c.taken, strings.HasPrefix)
		if r.status != c.status || !r.there("#notice") || !same || says(r.text, canary) ||
			!says(strings.ToLower(r.text), strings.ToLower(c.says)) {
			t.Errorf("%s: %d, taken %v\n%s", c.rule, r.status, taken, r.text)
		}
		taken = nil
		mu.Unlock()
	}
	api.Close()
	if r := send("shopify", "look", ""); r.status != http.StatusServiceUnavailable ||
		!r.there("#notice") ||
		!strings.Contains(r.text, "Shopify cannot be asked") ||
		strings.Contains(r.text, canary) {
		t.Errorf("a provider that does not answer: %d\n%s", r.status, r.text)
	}
	if grace.get(path).there("#replay") {
		t.Error("a viewer sees the form")
	}
	if _, err := st.as(t, "grace", viewerPass).ReplayLost(t.Context(), mid, workflows.Replay{Provider: "shopify", Since: time.Now()}); migration.KindOf(
		err,
	) != migration.Forbidden {
		t.Errorf("a viewer: %v", err)
	}
	if strings.Contains(st.logs.String(), canary) {
		t.Error("a credential is in the log")
	}
}
