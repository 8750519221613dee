package cli

import (
	"net/http"
	"net/http/httptest"
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
