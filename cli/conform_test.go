package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/switchyard-dev/switchyard/conform"
)

func TestAnAppIsTriedFromTheShell(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer s.Close()
	vars := env{"INGESTION_TOKEN": "canary-s3cret"}
	r := run(t.Context(), "another app", vars, "conform", s.URL, "--queue", "orders")
	r.want(t, exitFailed, "pass  health", "of 21 rules 10 are broken, and 10 could not be judged")
	r.want(t, exitFailed, "FAIL  token           GET /switchyard/journal?after=0 answers 418", "")
	r.want(t, exitFailed, "must: without the token, or with another one", "")
	r.hides(t, "canary-s3cret")
	r = run(t.Context(), "as JSON", vars, "conform", s.URL, "--queue", "orders", "--json")
	var all []conform.Result
	if err := json.Unmarshal([]byte(r.out), &all); err != nil || len(all) != 21 {
		t.Errorf("%v: %s", err, r.out)
	}
	run(t.Context(), "no token", nil, "conform", s.URL, "--queue", "orders").
		want(t, exitUsage, "", "set INGESTION_TOKEN")
	run(t.Context(), "no queue", vars, "conform", s.URL).want(t, exitUsage, "", "--queue")
}
