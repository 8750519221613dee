package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/switchyard-dev/switchyard/server/servertest"
)

// scrape asks for /metrics and parses the answer as Prometheus does.
func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	r := servertest.Ask(t, "GET", url+"/metrics", "")
	kind := r.Header.Get("Content-Type")
	if r.Status != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Fatalf("%d %s: %s", r.Status, kind, r.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(r.Text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, r.Text)
	}
	return families
}

// labelled gives the values of the samples of a family by the value of that label.
func labelled(f *dto.MetricFamily, label string) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label {
				out[l.GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return out
}

func TestMetricsAreReadableWhateverAWorkerIsCalled(t *testing.T) {
	t.Parallel()
	st := serve(t)
	names := []string{
		"web.1", "tab\there", `"quoted" \ {a="b"} 1`, "two\nlines", "bell\a", "упр-авление ☃", "bad \xff",
	}
	for _, name := range names {
		body, err := json.Marshal(map[string]any{
			"service": "ingestion", "instance": name, "revision": 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := servertest.Ask(t, "POST", st.url+"/api/v1/workers/attest", string(body),
			"Authorization", "Bearer "+workerToken)
		if r.Status != http.StatusNoContent {
			t.Fatalf("%q: %d %s", name, r.Status, r.Text)
		}
	}
	families := scrape(t, st.url)
	got := labelled(families["switchyard_worker_revision"], "instance")
	for _, name := range names {
		if got[strings.ToValidUTF8(name, "\uFFFD")] != 7 {
			t.Errorf("no sample for %q in %v", name, got)
		}
	}
	if len(got) != len(names) {
		t.Errorf("%d samples for %d workers: %v", len(got), len(names), got)
	}
	if strings.Contains(st.logs.String(), "error gathering metrics") {
		t.Errorf("a sample was left out: %s", st.logs.String())
	}
}

func TestMetricsAreOfTheKindThatTheirNamesPromise(t *testing.T) {
	t.Parallel()
	st := serveFlags(t)
	for range 3 {
		servertest.Ask(t, "POST", st.url+bulkPath+"/kill", "{}", bearerA...)
	}
	families := scrape(t, st.url)
	for name, f := range families {
		want := dto.MetricType_GAUGE
		switch {
		case strings.HasSuffix(name, "_total"):
			want = dto.MetricType_COUNTER
		case name == "switchyard_flag_request_seconds":
			want = dto.MetricType_HISTOGRAM
		}
		if f.GetType() != want || f.GetHelp() == "" {
			t.Errorf("%s is a %s, want a %s with a help text", name, f.GetType(), want)
		}
	}
	latency := families["switchyard_flag_request_seconds"].GetMetric()[0].GetHistogram()
	buckets := latency.GetBucket()
	if latency.GetSampleCount() != 3 || latency.GetSampleSum() <= 0 ||
		len(buckets) != 12 || buckets[0].GetUpperBound() != 5e-06 {
		t.Errorf("%v", latency)
	}
	if n := labelled(families["switchyard_http_answers_total"], "class")["2xx"]; n < 3 {
		t.Errorf("%v answers", n)
	}
	if up := families["switchyard_database_up"].GetMetric()[0].GetGauge().GetValue(); up != 0 {
		t.Errorf("the database is up (%v), and there is none", up)
	}
	if age := families["switchyard_flags_stale_seconds"]; len(age.GetMetric()) != 1 {
		t.Errorf("%v", age)
	}
}
