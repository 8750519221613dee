package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serverOf stands in for a server with the migration "m": rest answers all but the sign-in. It
// gives the arguments and variables by which a command reaches it.
func serverOf(t *testing.T, rest func(http.ResponseWriter, *http.Request)) ([]string, env) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1/sessions":
			_, _ = w.Write([]byte(`{"token":"t"}`))
		case "/api/v1/migrations":
			_, _ = w.Write([]byte(`{"migrations":[{"id":"m"}]}`))
		default:
			rest(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return []string{"--url", s.URL, "--user", "ada"}, env{"SWITCHYARD_PASSWORD": "p"}
}

func TestARunThatHasEndedIsShownAndWaitedForWithoutItsID(t *testing.T) {
	t.Parallel()
	const ended = `{"id":"r2","step":"audit","state":"succeeded","plan":{"gates":[],"actions":[]}}`
	args, vars := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/migrations/m/runs":
			_, _ = w.Write([]byte(`{"runs":[` + ended + `,{"id":"r1","state":"failed"}]}`))
		case "/api/v1/runs/r2":
			_, _ = w.Write([]byte(ended))
		case "/api/v1/runs/r2/log":
			_, _ = w.Write([]byte(`{"lines":[]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	for command, says := range map[string]string{
		"show": "succeeded", "wait": "", "cancel": "0 runs are open",
	} {
		r := run(t.Context(), command, vars, append([]string{"run", command}, args...)...)
		if (r.code == 0) != (command != "cancel") || !strings.Contains(r.out+r.errs, says) {
			t.Errorf("run %s: exit %d\n%s%s", command, r.code, r.out, r.errs)
		}
	}
}
