package site

import (
	"net/http"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestLeadsOnlyToPathsOfThisServer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/m/x?to=live": "/m/x?to=live", "": "/", "//evil": "/", `/\evil`: "/",
		"https://evil": "/", "evil": "/", "/a\nb": "/", "javascript:alert(1)": "/",
	} {
		if got := Local(in); got != want {
			t.Errorf("Local(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestKindsOfErrorsBecomeStatuses(t *testing.T) {
	t.Parallel()
	for kind, status := range map[migration.Kind]int{
		migration.Invalid: 400, migration.Unauthenticated: 401, migration.Forbidden: 403,
		migration.NotFound: 404, migration.Conflict: 409, migration.Blocked: 412,
		migration.Internal: 500, migration.Unavailable: 503,
	} {
		f := Explain(migration.Errorf(kind, "the text"))
		if f.Status != status || f.Kind != kind {
			t.Errorf("%s: %d %s, want %d", kind, f.Status, f.Kind, status)
		}
		if shown := f.Text == "the text"; shown == (kind == migration.Internal) {
			t.Errorf("%s: text %q", kind, f.Text)
		}
	}
	f := Explain(http.ErrBodyNotAllowed)
	if f.Status != 500 || strings.Contains(f.Text, "body") {
		t.Errorf("an unknown error is shown: %+v", f)
	}
}
