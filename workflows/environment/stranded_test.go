package environment

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
)

func TestWhoUsesTheServerThatTheSourceHasLeftIsSeen(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	at := func(source migration.SourceEndpoint) {
		t.Helper()
		_, err := r.Routing.Set(t.Context(), mid, migration.Routing{Stage: migration.StageOff,
			Source: source}, "test", "test", "")
		ok(t, err)
	}
	sees := func(left bool, keys ...string) error {
		found, is, err := r.Clients.Stranded(t.Context(), mid)
		if err != nil || is != left || len(found.Clients) != len(keys) {
			return errors.Join(err, errors.New(migration.Count(len(found.Clients), "client")))
		}
		for i, m := range found.Clients {
			if m.Key != "client:"+s.Addr()+"/"+keys[i] {
				return errors.New(m.Key)
			}
		}
		return nil
	}
	_, _, end := app(t, s, "mailer")
	at(migration.SourceStandalone)
	ok(t, sees(false))
	at(migration.SourceSentinel)
	ok(t, sees(true, "127.0.0.1/mailer"))
	s.Freeze()
	if _, _, err := r.Clients.Stranded(t.Context(), mid); err == nil {
		t.Error("nobody is seen on a server that does not answer")
	}
	s.Thaw()
	end()
	redistest.Eventually(t, patience, func() error { return sees(true) })
	at(migration.SourceNone)
	ok(t, sees(false))
}

func TestAQueueThatWasWorkedBeforeTheMoveAndIsNoMoreStandsStill(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	_, err := r.Routing.Set(t.Context(), mid, migration.Routing{Stage: migration.StageOff,
		Source: migration.SourceStandalone}, "test", "test", "")
	ok(t, err)
	newsletter := bullmq.Queue{Prefix: "shop", Name: "newsletter"}
	worker := newsletter.Prefix + ":" + base64.StdEncoding.EncodeToString([]byte(newsletter.Name))

	_, _, leave := app(t, s, worker+":w:one")
	_, _, endOther := app(t, s, "producer:shop:newsletter:source")
	defer endOther()
	found, err := r.Servers.AtWork(t.Context())
	if err != nil || !slices.Equal(found.Worked, []bullmq.Queue{newsletter}) {
		t.Fatal(found, err)
	}
	run := migration.Run{ID: "r1", MigrationID: mid, Step: migration.StepSentinelMove,
		RequestedBy: "test", CreatedAt: r.clk.now(), State: migration.RunRunning,
		Plan: migration.StepPlan{Actions: []migration.ActionPlan{{ID: PauseQueues}}}}
	ok(t, r.store.CreateRun(t.Context(), run))
	output, err := json.Marshal(found)
	ok(t, err)
	ok(t, r.store.SaveAction(t.Context(), run.ID, PauseQueues, migration.ActionDone, "", output,
		r.clk.now()))
	stands := func(want ...StillQueue) error {
		move, err := r.Clients.Moved(t.Context(), mid)
		if err != nil || move.ID != run.ID {
			return errors.Join(err, errors.New("the move is "+move.ID))
		}
		got, err := r.Clients.Still(t.Context(), mid, move)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("%v stand still", got)
		}
		return err
	}
	jobs := newsletter.Key("wait")
	ok(t, s.Client().RPush(t.Context(), jobs, "1", "2").Err())
	ok(t, s.Client().ZAdd(t.Context(), newsletter.Key("delayed"), redis.Z{Member: "3"}).Err())
	ok(t, s.Client().RPush(t.Context(), "bull:never-worked:wait", "1").Err())
	ok(t, stands())
	leave()
	redistest.Eventually(t, patience, func() error {
		return stands(StillQueue{"shop:newsletter", 3})
	})
	ok(t, bullmq.Pause(t.Context(), s.Client(), newsletter))
	ok(t, stands())
	ok(t, bullmq.Resume(t.Context(), s.Client(), newsletter))
	ok(t, stands(StillQueue{"shop:newsletter", 3}))
	ok(t, s.Client().Del(t.Context(), jobs, newsletter.Key("delayed")).Err())
	ok(t, stands())

	// A later run that waits for its approval, is rejected, or is to take it back hides nothing.
	end := func(id string, from, to migration.RunState) {
		t.Helper()
		ok(t, r.store.MoveRun(t.Context(), id, []migration.RunState{from}, to, store.RunChange{},
			r.clk.now()))
	}
	ok(t, s.Client().RPush(t.Context(), jobs, "1").Err())
	end(run.ID, migration.RunRunning, migration.RunSucceeded)
	for i, rollback := range []string{"", run.ID} {
		later := run
		later.ID, later.Rollback, later.State = fmt.Sprint("r", i+2), rollback,
			migration.RunAwaitingApproval
		later.CreatedAt = r.clk.now().Add(time.Duration(i+1) * time.Second)
		ok(t, r.store.CreateRun(t.Context(), later))
		ok(t, stands(StillQueue{"shop:newsletter", 1}))
		end(later.ID, migration.RunAwaitingApproval, migration.RunRejected)
		ok(t, stands(StillQueue{"shop:newsletter", 1}))
	}
}
