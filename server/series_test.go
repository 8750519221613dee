package server

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestASeriesSaysWhatOfAQueryCannotBe(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "grace", viewerPass)
	for query, want := range map[string]string{
		"name=depth_source,weather":  `there is no series "weather": the series are depth_source`,
		"since=yesterday":            `since is "yesterday": it must be 15m, 1h, 6h,`,
		"since=2020-01-01T00:00:00Z": "measurements are kept for 30 days",
		"until=noon":                 `until is "noon": it must be a time such as`,
		"until=2099-01-01T00:00:00Z": "in the future: leave it out for now",
		"points=601":                 "points is 601: it must be from 2 to 600",
		"points=1":                   "points is 1: it must be from 2 to 600",
		"points=many":                "points must be a whole number",
		"since=2020-01-01T00:00:00Z&until=2020-01-01T00:00:00Z": "which is not before until",
	} {
		if r := b.get("/api/v1/migrations/" + mid + "/series?" + query); r.status != 400 ||
			!strings.Contains(r.text, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%s: %d %s, want %s", query, r.status, r.text, want)
		}
	}
	b.get("/m/"+mid+"/queues?range=2w").wants(t, 400, "it must be 15m, 1h, 6h, 24h, 7d, 30d")
	_, err := st.as(t, "grace", viewerPass).Series(t.Context(), "elsewhere", "1h", 0)
	if migration.KindOf(err) != migration.NotFound {
		t.Errorf("of a migration that there is not: %v", err)
	}
}

func TestOneAnswerHoldsAtMostSoManyStepsOfAnyRange(t *testing.T) {
	t.Parallel()
	st := serve(t)
	client := st.as(t, "grace", viewerPass)
	for since, most := range map[string]int{
		"15m": 600, "1h": 600, "6h": 600, "24h": 600, "7d": 600, "30d": 100,
	} {
		v, err := client.Series(t.Context(), mid, since, most, "depth_source", "ramp_observed")
		if err != nil {
			t.Fatal(err)
		}
		n := v.Until.Sub(v.Since) / (time.Duration(v.StepMS) * time.Millisecond)
		if n < 2 || int(n) > most || len(v.Series) != 2 {
			t.Errorf("%s in %d: %d steps, %d series", since, most, n, len(v.Series))
		}
	}
}

func TestPagesWithChartsHaveThePictureTheTableAndTheScript(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "grace", viewerPass)
	r := b.get("/m/" + mid + "/queues?range=6h")
	for _, selector := range []string{
		"#chart-depth svg desc", "#chart-depth details", `#chart-response [data-value="response_target"]`,
		`.ranges a[aria-current="true"][href$="range=6h#charts"]`, `script[src^="/static/charts."]`,
	} {
		if !r.there(selector) {
			t.Errorf("queues: no %s", selector)
		}
	}
	if got := r.find(`[data-value="depth_target"]`).Text(); got != "no data" {
		t.Errorf("a target that there is not has %q pending jobs", got)
	}
	if r = b.get("/m/" + mid); !r.there("#chart-orders svg") || !r.there("#chart-criteria svg") {
		t.Error("overview: no charts")
	}
	if r = b.get("/m/" + mid + "/steps/cutover"); r.there("#chart-share") {
		t.Error("cutover: a live picture of a move before any")
	}
	if r = b.get("/m/" + mid + "/plan"); r.there(`script[src^="/static/charts."]`) {
		t.Error("a page without charts has their script")
	}
}
