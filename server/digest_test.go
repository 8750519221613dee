package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestAnEngineerSendsTheDigestToTheChannelsThatTakeItAndToNoPager(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string][]string{}
	receiver := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			var e struct{ Text string }
			_ = json.NewDecoder(r.Body).Decode(&e)
			mu.Lock()
			defer mu.Unlock()
			got[r.URL.Path] = append(got[r.URL.Path], e.Text)
			if strings.HasPrefix(r.URL.Path, "/v2/") {
				w.WriteHeader(http.StatusAccepted)
			}
		}))
	t.Cleanup(receiver.Close)
	st := serveOn(t, func(c *config.Config) {
		c.Digest = config.Digest{Day: "friday", At: "16:00", Zone: "Europe/Berlin"}
		c.Notifications = []config.Notification{
			{Name: "pager", Type: "pagerduty", URL: migration.Secret(receiver.URL),
				RoutingKey: canary + "-routing-key"},
			{Name: "quiet", Type: "slack", URL: migration.Secret(receiver.URL + "/quiet"),
				Events: []string{"approval"}},
			{Name: "leads", Type: "slack", URL: migration.Secret(receiver.URL + "/leads/" + canary),
				Events: []string{"approval"}, Digest: true},
		}
	})
	const path = "/m/" + mid + "/notifications"
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	r := grace.get(path)
	if r.there("#send-digest") || !says(r.text, "Fridays at 16:00 (Europe/Berlin)") {
		t.Error("a viewer can send a digest, or the schedule is not said")
	}
	if r := grace.get(path + "/digest"); r.there("#send-digest") ||
		!r.there(`[data-part="unknown"]`) || !r.there(`[data-part="orders"]`) {
		t.Errorf("the preview: %d\n%s", r.status, r.find("#main").Text())
	}
	forged := url.Values{"csrf": {r.csrf()}}
	if r := grace.send("POST", path+"/digest", forged, nil); r.status != http.StatusForbidden {
		t.Errorf("a viewer: %d", r.status)
	}
	if r := ada.submit(ada.get(path), "send-digest", nil); r.status != http.StatusOK || r.path != path {
		t.Errorf("%d at %s", r.status, r.path)
	}
	leads := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return got["/leads/"+canary]
	}
	servertest.Eventually(t, "the digest", func() bool { return len(leads()) > 0 })
	for _, part := range []string{"*Digest: 0 of ", "ada asked for it.", "UNKNOWN\n"} {
		if !strings.Contains(leads()[0], part) {
			t.Errorf("%q is missing in %s", part, leads()[0])
		}
	}
	plan, err := st.as(t, "ada", enginePass).SendDigest(t.Context(), mid)
	if err != nil || len(plan.Channels) != 1 || plan.Channels[0] != "leads" || plan.Next == nil ||
		plan.LastAt != nil {
		t.Errorf("%+v %v", plan, err)
	}
	n, err := st.as(t, "grace", viewerPass).Notifications(t.Context(), mid)
	if err != nil || n.Recent[0].Kind != "digest" || n.Recent[0].Channel != "leads" {
		t.Errorf("%+v %v", n.Recent, err)
	}
	mu.Lock()
	defer mu.Unlock()
	for where := range got {
		if !strings.HasPrefix(where, "/leads/") {
			t.Errorf("%s got %q", where, got[where])
		}
	}
	if strings.Contains(got["/leads/"+canary][0]+ada.get(path+"/digest").text, canary) {
		t.Error("a secret is in the digest or on its page")
	}
}

func TestADigestThatNoChannelTakesIsNotSentAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	st := serve(t)
	c := st.as(t, "ada", enginePass)
	_, err := c.SendDigest(t.Context(), mid)
	if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "digest: true") {
		t.Errorf("%v", err)
	}
	d, err := c.Digest(t.Context(), mid)
	if err != nil || d.Plan.Next != nil || !d.Digest.First || len(d.Digest.Unknown) == 0 {
		t.Errorf("%+v %v", d, err)
	}
	ada := st.browser(t, "ada", enginePass)
	path := "/m/" + mid + "/notifications/digest"
	form := url.Values{"csrf": {ada.get(path).csrf()}}
	if r := ada.get(path); r.there("#send-digest") || !says(r.text, "No channel takes the digest") {
		t.Errorf("%d\n%s", r.status, r.find("#main").Text())
	}
	if r := ada.send("POST", path, form, nil); r.status != http.StatusConflict || !r.there("#notice") {
		t.Errorf("%d", r.status)
	}
	if _, err := c.Digest(t.Context(), "none"); migration.KindOf(err) != migration.NotFound {
		t.Errorf("%v", err)
	}
}
