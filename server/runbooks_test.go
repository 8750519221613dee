package server

import (
	"net/http"
	"testing"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
)

func TestEveryRunbookIsAPageAndItsStepLeadsThere(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "grace", viewerPass)
	list := b.get("/m/" + mid + "/runbooks")
	for _, p := range runbooks.All() {
		path := "/m/" + mid + "/runbooks/" + p.ID
		if !list.there(`a[href="` + path + `"]`) {
			t.Errorf("%s is not in the list", p.ID)
		}
		page := b.get(path)
		if page.status != http.StatusOK || page.find("h1").Text() != p.Title ||
			page.find("#runbook h2").Length() != 3 || page.find("#runbook li").Length() == 0 {
			t.Errorf("%s: %d", path, page.status)
		}
	}
	step := b.get("/m/" + mid + "/steps/audit")
	if got := step.find("#runbook-link").AttrOr("href", ""); got != "/m/"+mid+
		"/runbooks/step-audit" {
		t.Errorf("the step leads to %q", got)
	}
	b.get("/m/"+mid+"/runbooks/step-none").wants(t, http.StatusNotFound, "no runbook")
}
