package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
)

func TestReplayTakesAFileWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	var asked []api.Replay
	answer := func(in api.Replay) api.ReplayResult {
		return api.ReplayResult{Missing: len(in.Events), Enqueued: len(in.Events), Events: []string{"first"}}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1/sessions":
			_, _ = w.Write([]byte(`{"token":"t"}`))
		case "/api/v1/migrations":
			_, _ = w.Write([]byte(`{"migrations":[{"id":"m"}]}`))
		case "/api/v1/migrations/m/replays":
			var in api.Replay
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
				t.Error(err)
			}
			asked = append(asked, in)
			_ = json.NewEncoder(w).Encode(answer(in))
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var many, heavy strings.Builder
	for i := range 1100 {
		_, _ = fmt.Fprintf(&many, `{"order_id":"o%d"}`+"\n", i)
		if i < 3 {
			_, _ = fmt.Fprintf(&heavy, `{"order_id":"o%d","note":%q}`+"\n", i, strings.Repeat("x", 400_000))
		}
	}
	few := `{"order_id":"o1"}` + "\n" + `{"order_id":"o2"}`
	down := func(in api.Replay) api.ReplayResult {
		return api.ReplayResult{Missing: len(in.Events), Enqueued: 1, Refused: []string{"o1: 503"}, Left: len(in.Events) - 2}
	}
	usual := answer
	for _, c := range []struct {
		rule   string
		answer func(api.Replay) api.ReplayResult
		args   []string
		code   int
		sizes  []int // events of each request
		out    string
		errs   string
	}{
		{"a few", usual, []string{"copecart", "--file", write("few", few)}, 0, []int{2}, "enqueued  2", ""},
		{"more than one request holds", usual, []string{"copecart", "--file", write("many", many.String())}, 0, []int{500, 500, 100}, "enqueued  1100", ""},
		{"larger than one request may be", usual, []string{"copecart", "--file", write("heavy", heavy.String())}, 0, []int{2, 1}, "enqueued  3", ""},
		{"the queue is down", down, []string{"copecart", "--file", write("many", many.String())}, exitFailed, []int{500}, "refused   o1: 503", "499 events are missing still, and the 600 after them were not tried"},
		{"only looking goes on", down, []string{"copecart", "--look", "--file", write("many", many.String())}, exitFailed, []int{500, 500, 100}, "missing   1100", "events are missing still"},
		{"asking the provider", usual, []string{"shopify", "--back", "1h"}, 0, []int{0}, "missing   0", ""},
		{"a bad line at the end", usual, []string{"copecart", "--file", write("bad", many.String()+"{}")}, exitUsage, nil, "", "bad: nothing was handed over: line 1101 names no order"},
		{"another provider's", usual, []string{"stripe", "--file", write("few", few)}, exitUsage, nil, "", "line 1 names no order: Stripe has its id in data.object.id; line 2"},
		{"no file", usual, []string{"copecart", "--file", filepath.Join(dir, "gone")}, exitUsage, nil, "", "no such file"},
		{"no provider of that name", usual, []string{"paypal"}, exitUsage, nil, "", "paypal"},
	} {
		asked, answer = nil, c.answer
		var out, errs bytes.Buffer
		code := Run(t.Context(), append([]string{"replay", "--url", server.URL, "--user", "ada"}, c.args...), func(name string) string { return map[string]string{"SWITCHYARD_PASSWORD": "p"}[name] }, &out, &errs)
		var sizes []int
		for _, r := range asked {
			sizes = append(sizes, len(r.Events))
		}
		if code != c.code || !slices.Equal(sizes, c.sizes) || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("%s: exit %d, requests of %v\n%s\n%s", c.rule, code, sizes, out.String(), errs.String())
		}
	}
}
