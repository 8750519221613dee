package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/api"
)

func TestReplayTakesAFileWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	usual := func(in api.Replay) api.ReplayResult {
		n := len(in.Events)
		return api.ReplayResult{Missing: n, Enqueued: n, Events: []string{"first"}}
	}
	down := func(in api.Replay) api.ReplayResult {
		n := len(in.Events)
		return api.ReplayResult{Missing: n, Enqueued: 1, Refused: []string{"o1: 503"}, Left: n - 2}
	}
	answer := usual
	var sizes []int // events of each request
	args, vars := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/migrations/m/replays" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		var in api.Replay
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(in.Events))
		_ = json.NewEncoder(w).Encode(answer(in))
	})
	dir := t.TempDir()
	file := func(name, text string) []string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"copecart", "--file", name}
	}
	var many, heavy strings.Builder
	for i := range 1100 {
		_, _ = fmt.Fprintf(&many, `{"order_id":"o%d"}`+"\n", i)
	}
	note := strings.Repeat("x", 400_000)
	for i := range 3 {
		_, _ = fmt.Fprintf(&heavy, `{"order_id":"o%d","note":%q}`+"\n", i, note)
	}
	few := `{"order_id":"o1"}` + "\n" + `{"order_id":"o2"}`
	for _, c := range []struct {
		rule   string
		args   []string
		answer func(api.Replay) api.ReplayResult
		code   int
		sizes  []int
		out    string
		errs   string
	}{
		{
			rule: "a few", args: file("few", few), answer: usual,
			sizes: []int{2}, out: "enqueued  2",
		},
		{
			rule: "more than one request holds", args: file("many", many.String()), answer: usual,
			sizes: []int{500, 500, 100}, out: "enqueued  1100",
		},
		{
			rule: "larger than one may be", args: file("heavy", heavy.String()), answer: usual,
			sizes: []int{2, 1}, out: "enqueued  3",
		},
		{
			rule: "the queue is down", args: file("many", many.String()), answer: down,
			code: exitFailed, sizes: []int{500}, out: "refused   o1: 503",
			errs: "499 events are still missing, and the 600 after them were not tried",
		},
		{
			rule: "only looking goes on", args: append(file("many", many.String()), "--look"),
			answer: down, code: exitFailed, sizes: []int{500, 500, 100}, out: "missing   1100",
			errs: "events are still missing",
		},
		{
			rule: "asking the provider", args: []string{"shopify", "--back", "1h"}, answer: usual,
			sizes: []int{0}, out: "missing   0",
		},
		{
			rule: "a bad line at the end", args: file("bad", many.String()+"{}"), code: exitUsage,
			errs: "bad: nothing was handed over: line 1101 names no order",
		},
		{
			rule: "another provider's", code: exitUsage,
			args: append([]string{"stripe"}, file("few", few)[1:]...),
			errs: "line 1 names no order: Stripe has its id in data.object.id; line 2",
		},
		{
			rule: "no file", code: exitUsage, errs: "no such file",
			args: []string{"copecart", "--file", filepath.Join(dir, "gone")},
		},
		{rule: "no such provider", args: []string{"paypal"}, code: exitUsage, errs: "paypal"},
	} {
		sizes, answer = nil, c.answer
		line := slices.Concat([]string{"replay"}, args, c.args)
		run(t.Context(), c.rule, vars, line...).want(t, c.code, c.out, c.errs)
		if !slices.Equal(sizes, c.sizes) {
			t.Errorf("%s: requests of %v, want %v", c.rule, sizes, c.sizes)
		}
	}
}
