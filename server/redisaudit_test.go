package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestTheAuditIsShownExportedAndCounted(t *testing.T) {
	t.Parallel()
	st := serve(t)
	redis := st.redis.Client()
	if err := redis.ConfigSet(t.Context(), "timeout", "300").Err(); err != nil {
		t.Fatal(err)
	}
	st.queueOne(t)
	ada, grace := st.as(t, "ada", enginePass), st.browser(t, "grace", viewerPass)
	if r := grace.get("/m/" + mid + "/redis-audit"); r.status != 404 ||
		!strings.Contains(r.text, "not audited yet") {
		t.Errorf("before an audit: %d %s", r.status, r.text)
	}
	run, err := ada.Start(t.Context(), mid, "audit", migration.Params{}, "")
	if err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "audit", func() bool {
		r, err := ada.Run(t.Context(), run.ID)
		return err == nil && r.State == migration.RunSucceeded
	})
	for _, path := range []string{"/m/" + mid + "/redis-audit", "/m/" + mid + "/steps/audit"} {
		r := grace.get(path)
		row := r.find(`[data-check="timeout"]`)
		if !row.Is(`[data-state="problem"][data-severity="high"]`) {
			t.Fatalf("%s: %s", path, r.text)
		}
		if !says(row.Text(), "High", "300 s", "CONFIG SET timeout 0", "timeout 300 -> 0") {
			t.Errorf("%s: %s", path, row.Text())
		}
	}
	if r := grace.get("/m/" + mid + "/runs/" + run.ID); !strings.Contains(r.text, "/redis-audit") {
		t.Error("the run does not lead to what it found")
	}
	for format, want := range map[string]struct{ media, says string }{
		"html":     {"text/html", "<!doctype html>"},
		"markdown": {"text/markdown", "| HIGH | Idle timeout | 300 s |"},
		"json":     {"application/json", `"id": "timeout"`},
		"text":     {"text/plain", "HIGH      timeout"},
	} {
		r := grace.get("/m/" + mid + "/redis-audit/export?format=" + format)
		if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), want.media) ||
			!says(r.header.Get("Content-Disposition"), "attachment; filename=redis-audit-") ||
			!says(r.text, want.says) {
			t.Errorf("%s: %d %v %.200s", format, r.status, r.header, r.text)
		}
		if format == "json" {
			var reports []audit.Report
			if err := json.Unmarshal([]byte(r.text), &reports); err != nil || len(reports) != 1 {
				t.Errorf("%v", err)
			}
		}
	}
	if r := grace.get("/m/" + mid + "/redis-audit/export?format=pdf"); r.status != 422 &&
		r.status != 400 {
		t.Errorf("pdf: %d", r.status)
	}
	if a, err := st.as(t, "grace", viewerPass).RedisAudit(t.Context(), mid); err != nil ||
		len(a.Reports) != 1 ||
		len(a.Now.Nodes) != 1 ||
		a.RunID != run.ID {
		t.Errorf("%+v %v", a, err)
	}
	if r := grace.get("/metrics"); !strings.Contains(
		r.text, `switchyard_audit_problems{migration="`+mid+`",severity="high"}`,
	) {
		t.Errorf("%s", r.text)
	}
	plan := grace.get("/m/" + mid + "/steps/fix-policy")
	if !says(plan.find(`[data-setting="timeout"]`).Text(), "300", "Kept") {
		t.Errorf("the plan does not name the setting: %s", plan.text)
	}
}
