package bullmq_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestFindJobTellsWhatBullMQKeeps(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			major.Populate(t, srv, "orders")
			find := func(queue, id string) bullmq.Job {
				t.Helper()
				j, err := bullmq.FindJob(t.Context(), srv.Client(),
					bullmq.Queue{Name: queue}, id)
				if err != nil {
					t.Fatal(err)
				}
				return j
			}
			if j := find("orders", "done_1"); j.State != "completed" ||
				j.ReturnValue != `{"done":"done_1"}` || j.LogCount != 1 ||
				j.FinishedOn == nil || string(j.Data) != `{"k":"done_1"}` {
				t.Errorf("completed: %+v", j)
			}
			if j := find("orders", "dead_0"); j.State != "failed" ||
				j.FailedReason != "as asked" || len(j.Stacktrace) != 1 || j.AttemptsMade != 1 {
				t.Errorf("failed: %+v", j)
			}
			if j := find("orders", "retry_0"); j.State != "delayed" || j.DueAt == nil ||
				time.Until(*j.DueAt) > 10*time.Second || j.AttemptsMade != 1 {
				t.Errorf("retrying: %+v", j)
			}
			if j := find("orders", "logged"); j.State != "waiting" || len(j.Logs) != 2 ||
				j.Progress != `{"part":1}` {
				t.Errorf("waiting: %+v", j)
			}
			for _, id := range []string{"nobody", "meta", "wait", "logged:logs", "de:d1", ""} {
				if j, err := bullmq.FindJob(t.Context(), srv.Client(),
					bullmq.Queue{Name: "orders"},
					id); migration.KindOf(err) != migration.NotFound {
					t.Errorf("%q: %+v %v", id, j, err)
				}
			}
		})
	}
}

func TestFindJobOfBrokenDataGivesItAsText(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	srv.Client().HSet(t.Context(), "bull:orders:x", "name", "n", "data", `{"half":`,
		"stacktrace", "no list")
	j, err := bullmq.FindJob(t.Context(), srv.Client(), bullmq.Queue{Name: "orders"}, "x")
	if err != nil || string(j.Data) != `"{\"half\":"` || j.State != "" ||
		strings.Join(j.Stacktrace, "") != "" {
		t.Errorf("%+v %v", j, err)
	}
}
