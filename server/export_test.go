package server

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestTheManagedRedisIsExported(t *testing.T) {
	t.Parallel()
	st := serve(t)
	grace, page := st.as(t, "grace", viewerPass), st.browser(t, "grace", viewerPass)
	for format, want := range map[string]string{"terraform": `resource "upstash_redis_database"`, "helm": "secretKeyRef"} {
		e, err := grace.Export(t.Context(), mid, format)
		if err != nil || !strings.Contains(e.Text, want) || e.Format != format {
			t.Errorf("%s: %v, %s", format, err, e.Text)
		}
		r := page.get("/m/" + mid + "/exports/" + format)
		if got := r.header.Get("Content-Disposition"); r.status != 200 || r.text != e.Text || got != "attachment; filename="+e.File {
			t.Errorf("%s: %d, %q", format, r.status, got)
		}
	}
	if _, err := grace.Export(t.Context(), mid, "pulumi"); migration.KindOf(err) != migration.Invalid {
		t.Errorf("an unknown format: %v", err)
	}
	if r := page.get("/m/" + mid + "/exports/pulumi"); r.status != 400 {
		t.Errorf("an unknown format: %d", r.status)
	}
}
