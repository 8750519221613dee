package ingestion_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

const token = "token-51c"

// answer is an app that gives one status and body, after checking token and call.
func answer(t *testing.T, call string, status int, body string) *ingestion.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Method + " " + r.URL.String(); got != call {
			t.Errorf("call %s, want %s", got, call)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("authorization %q", got)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return ingestion.New(srv.URL, token, srv.Client())
}

func TestJournal(t *testing.T) {
	t.Parallel()
	const call = "GET /switchyard/journal?after=10&limit=2"
	page, err := answer(t, call, 200, `{"epoch":"e1","next":12,"events":[{"seq":11,"type":"delivery"},{"seq":12,"type":"enqueued"}]}`).Journal(t.Context(), 10, 2)
	if err != nil || page.Epoch != "e1" || page.Next != 12 || len(page.Events) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	var event struct {
		Seq  int64  `json:"seq"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(page.Events[1], &event); err != nil || event.Seq != 12 || event.Type != "enqueued" {
		t.Errorf("%+v, %v", event, err)
	}
	end, err := answer(t, call, 200, `{"epoch":"e1","next":10,"events":[]}`).Journal(t.Context(), 10, 2)
	if err != nil || end.Next != 10 || len(end.Events) != 0 {
		t.Errorf("at the end: %+v, %v", end, err)
	}
	shorter, err := answer(t, call, 200, `{"epoch":"e2","next":3,"events":[]}`).Journal(t.Context(), 10, 2)
	if err != nil || shorter.Epoch != "e2" {
		t.Errorf("a new journal must be seen as one: %+v, %v", shorter, err)
	}
	for rule, body := range map[string]string{
		"does not advance": `{"epoch":"e1","next":10,"events":[{"seq":11}]}`,
		"goes back":        `{"epoch":"e1","next":3,"events":[{"seq":3}]}`,
		"no epoch":         `{"next":12,"events":[{"seq":11}]}`,
		"not JSON":         `<html>`,
	} {
		if _, err := answer(t, call, 200, body).Journal(t.Context(), 10, 2); err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
	if _, err := answer(t, call, 401, `{"error":"unauthorized"}`).Journal(t.Context(), 10, 2); httpapi.Status(err) != 401 {
		t.Errorf("wrong token: %v", err)
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	const call = "POST /switchyard/canary"
	ok, err := answer(t, call, 200, `{"status":200,"ms":4,"side":"source","endpoint":"sentinel"}`).Canary(t.Context(), "canary_1", "orders")
	if err != nil || ok.Status != 200 || ok.MS != 4 || ok.Side != "source" || ok.Endpoint != "sentinel" || ok.RoundTrip <= 0 {
		t.Errorf("%+v, %v", ok, err)
	}
	refused, err := answer(t, call, 503, `{"status":503,"ms":2001,"side":"source","endpoint":"standalone","error":"Command timed out"}`).Canary(t.Context(), "canary_1", "orders")
	if err != nil || refused.Status != 503 || refused.Error != "Command timed out" {
		t.Errorf("a refusal is a result: %+v, %v", refused, err)
	}
	other, err := answer(t, call, 422, `{"error":"this app adds to refunds"}`).Canary(t.Context(), "canary_1", "orders")
	if err != nil || other.Refused != "this app adds to refunds" {
		t.Errorf("a queue of another app is a result: %+v, %v", other, err)
	}
	for status, body := range map[int]string{500: `{"status":500}`, 401: `{}`, 200: `oops`} {
		if res, err := answer(t, call, status, body).Canary(t.Context(), "canary_1", "orders"); err == nil {
			t.Errorf("status %d: %+v", status, res)
		}
	}
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	if err := answer(t, "GET /healthz", 200, "ok").Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := answer(t, "GET /healthz", 503, "starting").Healthy(t.Context()); httpapi.Status(err) != 503 {
		t.Errorf("got %v", err)
	}
}
