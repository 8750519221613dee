package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/workflows"
)

func TestAnEngineerTestsAChannelAndEverybodySeesHowItFares(t *testing.T) {
	t.Parallel()
	slack := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(slack.Close)
	st := serveOn(t, func(c *config.Config) {
		c.Notifications = append(
			c.Notifications,
			config.Notification{
				Name: "works", Type: "slack",
				URL: migration.Secret(slack.URL + "/services/" + canary),
			},
		)
	})
	const path = "/m/" + mid + "/notifications"
	ada, grace := st.browser(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	state := func(r response, channel string) string {
		t.Helper()
		row := r.find(`[data-channel="` + channel + `"]`)
		if row.Length() == 0 {
			t.Fatalf("no channel %s on %s (%d)", channel, r.path, r.status)
		}
		return row.Find("[data-tone]").AttrOr("data-tone", "")
	}
	if r := grace.get(path); state(r, "works") != "idle" || r.there("#test-works") {
		t.Error("a viewer can send a test, or one was sent")
	}
	r := ada.submit(ada.get(path), "test-works", nil)
	if r.status != http.StatusOK || r.path != path || state(r, "works") != "ok" {
		t.Errorf("%d at %s", r.status, r.path)
	}
	r = ada.submit(r, "test-chat", nil)
	if r.status != http.StatusConflict || !r.there("#notice") || state(r, "chat") != "bad" ||
		!says(r.text, "connection refused") {
		t.Errorf("%d\n%s", r.status, r.text)
	}
	if r := grace.send("POST", path+"/test", map[string][]string{"channel": {"works"}}, nil); r.status != http.StatusForbidden {
		t.Errorf("a viewer: %d", r.status)
	}
	n, err := st.as(t, "grace", viewerPass).Notifications(t.Context(), mid)
	if err != nil || len(n.Channels) != 3 || n.Channels[1].Error == "" || n.Channels[2].Sent != 1 ||
		len(n.Alerts) != 0 {
		t.Errorf("%+v %v", n, err)
	}
	_, err = st.as(t, "ada", enginePass).TestNotification(t.Context(), mid, "chat")
	if migration.KindOf(err) != migration.Conflict || strings.Contains(err.Error(), canary) {
		t.Errorf("%v", err)
	}
	metrics := ada.get("/metrics").text
	for _, line := range []string{
		`switchyard_notification_tries_total{channel="works",result="sent"} 1`,
		`switchyard_notification_tries_total{channel="chat",result="failed"} 2`,
		`switchyard_notification_channel_failing{channel="chat"} 1`,
		`switchyard_notifications_waiting{channel="works"} 0`,
		`switchyard_alerts{migration="order-pipeline",severity="critical"} 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if text := ada.get(path).text + metrics + st.logs.String(); strings.Contains(text, canary) {
		t.Error("a secret is on the page, in the metrics or in the log")
	}
}

func TestASettingThatIsChangedBehindOurBackIsAnIncidentUntilItIsPutBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	pager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			Action string `json:"event_action"`
			Key    string `json:"dedup_key"`
		}
		_ = json.NewDecoder(r.Body).Decode(&e)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.Action+" "+e.Key)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(pager.Close)
	st := serveOn(t, func(c *config.Config) {
		c.Migration.MonitorInterval = 100 * time.Millisecond
		c.Notifications = []config.Notification{
			{
				Name: "pager", Type: "pagerduty", URL: migration.Secret(pager.URL),
				RoutingKey: canary + "-routing-key", MinSeverity: "error",
				Events: []string{"alert"},
			},
		}
	})
	set := func(policy string) {
		t.Helper()
		if err := st.redis.Client().ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
	}
	told := func(line string) {
		t.Helper()
		servertest.Eventually(
			t, line,
			func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(got, line) },
		)
	}
	set("noeviction")
	st.runAudit(t)
	servertest.Eventually(
		t, "the criterion is seen to be met",
		func() bool { return strings.Contains(st.logs.String(), "criterion met for the first time") },
	)
	set("allkeys-lru")
	told("trigger " + mid + "/criterion/noeviction")
	n, err := st.as(t, "grace", viewerPass).Notifications(t.Context(), mid)
	if err != nil || !slices.ContainsFunc(n.Alerts, func(a workflows.NotifiedAlert) bool {
		return a.Key == mid+"/criterion/noeviction" && a.Severity == "error"
	}) {
		t.Errorf("%+v %v", n.Alerts, err)
	}
	const key = mid + "/criterion/noeviction"
	err = st.as(t, "grace", viewerPass).AcknowledgeAlert(t.Context(), mid, key, "I look")
	if migration.KindOf(err) != migration.Forbidden {
		t.Errorf("a viewer: %v", err)
	}
	b := st.browser(t, "ada", enginePass)
	page := b.get("/m/" + mid + "/notifications")
	if !strings.Contains(page.text, "unacknowledged alert") {
		t.Error("the alert is not counted on the page")
	}
	form := url.Values{"csrf": {page.csrf()}, "key": {key}, "comment": {""}}
	if r := b.send("POST", "/m/"+mid+"/alerts/ack", form, nil); r.status != 400 {
		t.Errorf("without a comment: %d", r.status)
	}
	form.Set("comment", "the policy is being set")
	r := b.send("POST", "/m/"+mid+"/alerts/ack", form, nil)
	if r.status != 200 || !strings.Contains(r.text, "Acknowledged by ada") {
		t.Errorf("%d at %s", r.status, r.path)
	}
	a, err := st.as(t, "grace", viewerPass).Alerts(t.Context(), mid)
	if err != nil || a.Open != len(a.Alerts) || a.Open-a.Unacknowledged != 1 {
		t.Errorf("%+v %v", a, err)
	}
	set("noeviction")
	told("resolve " + mid + "/criterion/noeviction")
	mu.Lock()
	defer mu.Unlock()
	if i := slices.Index(got, "trigger "+mid+"/criterion/noeviction"); slices.Contains(
		got[i+1:], got[i],
	) {
		t.Errorf("told again while it was on: %q", got)
	}
}
