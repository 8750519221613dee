package server

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/workflows"
)

// queueOne puts one waiting job with a hostile payload on the source.
func (st *running) queueOne(t *testing.T) {
	t.Helper()
	c := st.redis.Client()
	for _, err := range []error{
		c.HSet(t.Context(), "bull:order-ingestion:evt_1", "name", "order", "data", `{"note":"<script>alert(1)</script>","card":"CANARY-4242"}`, "opts", "{}", "timestamp", "1795500000000").Err(),
		c.LPush(t.Context(), "bull:order-ingestion:wait", "evt_1").Err(),
		c.HSet(t.Context(), "bull:order-ingestion:meta", "version", "bullmq:6.7.0").Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAJobIsFoundAndItsPayloadIsForEngineersOnly(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.queueOne(t)
	for name, c := range map[string]struct {
		password string
		sees     bool
	}{"ada": {enginePass, true}, "grace": {viewerPass, false}} {
		var r response
		b := st.browser(t, name, c.password)
		servertest.Eventually(t, "survey", func() bool {
			r = b.get("/m/" + mid + "/jobs?id=evt_1")
			return strings.Contains(r.text, `data-job="order-ingestion"`)
		})
		if !strings.Contains(r.text, "Waiting") ||
			strings.Contains(r.text, "CANARY-4242") != c.sees ||
			strings.Contains(r.text, "<script>alert") {
			t.Errorf("%s: %s", name, r.text)
		}
		if !r.there("[data-error]") {
			t.Errorf("%s: the target is not provisioned, and nothing says so", name)
		}
		found, err := st.as(t, name, c.password).FindJobs(t.Context(), mid, "evt_1")
		if err != nil || len(found.Sides) != 2 || len(found.Sides[0].Jobs) != 1 ||
			(len(found.Sides[0].Jobs[0].Data) > 0) != c.sees ||
			found.Sides[1].Error == "" {
			t.Errorf("%s: %+v %v", name, found, err)
		}
	}
	b := st.browser(t, "ada", enginePass)
	if r := b.get("/m/" + mid + "/jobs?id=" + strings.Repeat("x", 513)); r.status != 422 &&
		r.status != 400 {
		t.Errorf("an id that is too long: %d", r.status)
	}
}

func TestTheQueueAndTheCutoverReportAreShownWithWhatBlocks(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.queueOne(t)
	b := st.browser(t, "grace", viewerPass)
	var r response
	servertest.Eventually(t, "survey", func() bool {
		r = b.get("/m/" + mid + "/queues/order-ingestion")
		return strings.Contains(r.find(`#side-source [data-count="waiting"]`).Text(), "1")
	})
	r = b.get("/m/" + mid + "/cutover-report")
	line := r.find(`[data-line="waiting"]`)
	if !line.Is(`[data-severity="blocks"]`) || !strings.Contains(line.Text(), "Move the remaining jobs") {
		t.Errorf("no blocking line: %s", r.text)
	}
	if !r.there(`[data-group="unknown"]`) {
		t.Error("nothing is unknown although there is no target and no app")
	}
	report, err := st.as(t, "grace", viewerPass).CutoverReport(t.Context(), mid)
	if err != nil || report.Ready || report.Lines[0].Severity != workflows.SeverityBlocks {
		t.Errorf("%+v %v", report, err)
	}
	if q, err := st.as(t, "grace", viewerPass).Queue(t.Context(), mid, "order-ingestion"); err != nil ||
		q.Sides[0].Queue == nil ||
		q.Sides[0].Queue.Counts.Waiting != 1 {
		t.Errorf("%+v %v", q, err)
	}
}

func TestAJobIsRemovedByFormWithAReasonAndOnlyByEngineers(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.queueOne(t)
	b := st.browser(t, "ada", enginePass)
	path := "/m/" + mid + "/jobs?id=evt_1"
	var r response
	servertest.Eventually(
		t, "survey",
		func() bool { r = b.get(path); return strings.Contains(r.text, `data-job="order-ingestion"`) },
	)
	there := func() bool { return st.redis.Client().Exists(t.Context(), "bull:order-ingestion:evt_1").Val() == 1 }

	remove := func(values map[string]string) response {
		return b.submit(r, "do-remove-source-order-ingestion", values)
	}
	if r := remove(nil); !r.there("#notice") || !there() {
		t.Errorf("without a reason: %d, there %v", r.status, there())
	}
	if r := remove(map[string]string{"action": "promote", "reason": "tested"}); !strings.Contains(
		r.text, "not delayed",
	) ||
		!there() {
		t.Errorf("promoted a waiting job: %d", r.status)
	}
	grace := st.as(t, "grace", viewerPass)
	if err := grace.ChangeJob(t.Context(), mid, api.JobChange{Side: "source", Queue: "order-ingestion", ID: "evt_1", Action: "remove", Reason: "for fun"}); migration.KindOf(
		err,
	) != migration.Forbidden ||
		!there() {
		t.Errorf("a viewer: %v, there %v", err, there())
	}
	if r := remove(map[string]string{"reason": "a test order"}); r.status != 200 || there() ||
		!strings.Contains(r.text, "Done: remove") {
		t.Errorf("removed: %d, there %v", r.status, there())
	}
	audit := b.get("/m/" + mid + "/audit").text
	for _, says := range []string{
		"Job remove", "order-ingestion on the source: evt_1", "a test order",
	} {
		if !strings.Contains(audit, says) {
			t.Errorf("the audit log does not say %q", says)
		}
	}
}

// What jobs carry is looked through by engineers only, on the page and over the API. Who
// searched which field is in the audit log, the value never.
func TestJobsAreFoundByWhatTheyCarryAndOnlyByEngineers(t *testing.T) {
	t.Parallel()
	st := serve(t)
	st.queueOne(t)
	b := st.browser(t, "ada", enginePass)
	search := func(field, value string) response {
		t.Helper()
		return b.submit(
			b.get("/m/"+mid+"/jobs"), "search",
			map[string]string{"field": field, "value": value},
		)
	}
	var r response
	servertest.Eventually(t, "survey", func() bool {
		r = search("card", "CANARY-4242")
		return strings.Contains(r.text, `data-match="evt_1"`)
	})
	if r.status != 200 || !r.there("[data-error]") {
		t.Errorf("%d: the target is not provisioned, and nothing says so: %s", r.status, r.text)
	}
	if r = search("a..b", "x"); r.status != 422 && r.status != 400 ||
		!strings.Contains(r.text, "write it like customer.email") {
		t.Errorf("a field that is none: %d %s", r.status, r.text)
	}
	if r = search("card", "other"); strings.Contains(r.text, "data-match") ||
		!strings.Contains(r.text, "No more matches") {
		t.Errorf("nothing to be found: %d %s", r.status, r.text)
	}

	ada, grace := st.as(t, "ada", enginePass), st.as(t, "grace", viewerPass)
	found, err := ada.SearchJobs(
		t.Context(), mid,
		api.JobSearch{Field: "card", Value: "CANARY-4242", Queue: "order-ingestion"},
	)
	if err != nil || len(found.Sides) != 2 || len(found.Sides[0].Result.Matches) != 1 ||
		found.Sides[0].Result.Matches[0].ID != "evt_1" ||
		found.Sides[1].Error == "" ||
		found.Next() != nil {
		t.Errorf("%+v %v", found, err)
	}
	if found, err = ada.SearchJobs(t.Context(), mid, api.JobSearch{Field: "card", Value: "CANARY-4242", Queue: "another"}); err != nil ||
		len(found.Sides[0].Result.Matches) != 0 ||
		found.Sides[0].Queues != 0 {
		t.Errorf("%+v %v", found, err)
	}
	for _, bad := range []api.JobSearch{
		{Field: "", Value: "x"},
		{Field: "card", Value: strings.Repeat("x", 1025)},
		{Field: "card", Value: "x", After: map[string]string{"nowhere": "a:1"}},
	} {
		if _, err := ada.SearchJobs(t.Context(), mid, bad); migration.KindOf(
			err,
		) != migration.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := grace.SearchJobs(t.Context(), mid, api.JobSearch{Field: "card", Value: "CANARY-4242"}); migration.KindOf(
		err,
	) != migration.Forbidden {
		t.Errorf("a viewer: %v", err)
	}
	if r := st.browser(t, "grace", viewerPass).get("/m/" + mid + "/jobs"); strings.Contains(
		r.text, `id="search-form"`,
	) {
		t.Error("a viewer is offered the search")
	}
	page, err := ada.Audit(t.Context(), api.AuditQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range page.Entries {
		if strings.Contains(e.Subject+e.Detail, "CANARY-4242") {
			t.Errorf("the value is in the audit log: %+v", e)
		}
		seen[e.Actor+" "+e.Action+" "+e.Result+" "+e.Subject] = true
	}
	if !seen[`ada job-search ok "card" in all queues`] ||
		!seen[`ada job-search ok "card" in order-ingestion`] {
		t.Errorf("the searches are not in the audit log: %v", seen)
	}
}
