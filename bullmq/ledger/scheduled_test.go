package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// The server tells a scheduler's job from one whose id an application chose: by the job, and
// by the scheduler once the job is gone.
func TestAServerKnowsRealSchedulersJobs(t *testing.T) {
	t.Parallel()
	const every = 3_600_000
	for _, version := range []int{4, 5, 6} {
		t.Run(fmt.Sprint("BullMQ ", version), func(t *testing.T) {
			t.Parallel()
			m, srv := bullmqtest.Major(version), redistest.Start(t)
			c, q := srv.Client(), bullmq.Queue{Prefix: "bull", Name: "orders"}
			if version == 6 {
				m.Run(t, srv, "orders", "every", "")
			} else {
				m.Add(t, srv, "orders", bullmqtest.Task{Name: "hourly",
					Opts: map[string]any{"repeat": map[string]any{"every": every}}})
			}
			var made string
			for _, k := range c.Keys(t.Context(), "bull:orders:repeat:*").Val() {
				if c.HExists(t.Context(), k, "timestamp").Val() {
					made = strings.TrimPrefix(k, "bull:orders:")
				}
			}
			chosen := "repeat:chosen:1"
			c.HSet(t.Context(), q.Key(chosen), "name", "order", "opts", `{"attempts":3}`)
			ask := func(want map[string]bool) {
				t.Helper()
				got, err := ledger.AskScheduled(t.Context(), c, q, []string{made, chosen})
				if err != nil || got[made] != want[made] || got[chosen] != want[chosen] {
					t.Errorf("%v, %v, want %v", got, err, want)
				}
			}
			ask(map[string]bool{made: true})
			if version == 6 {
				c.Del(t.Context(), q.Key(made))
				ask(map[string]bool{made: true})
				c.Del(t.Context(), q.Key("repeat"))
				ask(map[string]bool{})
			}
		})
	}
}
