package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

func TestAWaiverIsSignedByWhoIsSignedInAndByNobodyElse(t *testing.T) {
	t.Parallel()
	st := serve(t)
	const path = "/m/" + mid + "/waivers"
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	form := map[string][]string{"member": {"worker:ingestion/web-2"},
		"why": {"its host was shut down on Monday"}}
	if r := grace.send("POST", path, form, nil); r.status != http.StatusForbidden {
		t.Errorf("a viewer: %d", r.status)
	}
	if r := grace.get(path); r.there("form[action='" + path + "']") {
		t.Error("a viewer is shown a form")
	}
	r := ada.submit(ada.get(path), "sign", map[string]string{
		"member": "worker:ingestion/web-2", "why": "ok", "by": "grace"})
	if r.status != http.StatusBadRequest || !says(r.text, "at least 10 characters") ||
		r.find("#member").AttrOr("value", "") != "worker:ingestion/web-2" {
		t.Errorf("%d\n%s", r.status, r.text)
	}
	r = ada.submit(r, "sign", map[string]string{"why": form["why"][0]})
	if r.status != http.StatusOK || r.path != path || !says(r.text, "Signed by ada") ||
		!says(r.text, "In force") {
		t.Errorf("%d at %s\n%s", r.status, r.path, r.text)
	}
	client := st.as(t, "ada", enginePass)
	all, err := client.Waivers(t.Context(), mid)
	if err != nil || len(all) != 1 || all[0].By != "ada" {
		t.Fatalf("%+v, %v", all, err)
	}
	second, err := client.Waive(t.Context(), mid, api.WaiverRequest{Member: "sender:Shopify",
		Why: "it sends nothing in November"})
	if err != nil || second.By != "ada" || second.Until.Sub(second.At).Round(time.Hour) !=
		24*time.Hour {
		t.Errorf("%+v, %v", second, err)
	}
	_, err = client.Waive(t.Context(), mid, api.WaiverRequest{Member: "sender:Shopify",
		Why: "it never sends anything", Until: time.Now().Add(1000 * time.Hour)})
	if migration.KindOf(err) != migration.Invalid {
		t.Errorf("for ever: %v", err)
	}
	if err := client.Revoke(t.Context(), mid, second.ID); err != nil {
		t.Error(err)
	}
	if err := client.Revoke(t.Context(), mid, second.ID); migration.KindOf(err) !=
		migration.NotFound {
		t.Errorf("a second time: %v", err)
	}
	if r = ada.get(path); !says(r.text, "revoked by ada") {
		t.Error(r.text)
	}
}
