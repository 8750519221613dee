package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

// targetVar is the config var through which the app learns the managed Redis' address.
const targetVar = "TARGET_REDIS_URL"

// provision creates the managed database, or adopts one of the configured name, checks it, and gives its address to the app.
func provision() Step {
	return Step{
		ID:       stepProvision,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			t := e.cfg.Target.Upstash
			out := Outlook{Summary: fmt.Sprintf("Create or adopt the Upstash database %s (Fixed 1 GB, %s, TLS, eviction off) and give its address to the app.", t.DatabaseName, t.PrimaryRegion),
				Impact: "Costs $20 a month from now on (vendor's price list of 2026-08-21; the initiative said $15). The app restarts once with the new address; the provider's retries bring back what it misses."}
			stage := migration.Gate{ID: "stage", Title: "Cutover has not begun", OK: v.routing.Stage == migration.StageOff, Measured: v.routing.String(), Limit: "off"}
			if !stage.OK {
				stage.Next = "move the queue back to off first"
			}
			api := migration.Gate{ID: "api", Title: "The managed service's API answers", OK: true, Limit: "answers with the configured account"}
			db, found, err := e.upstash.FindByName(ctx, t.DatabaseName)
			switch {
			case err != nil:
				api.OK, api.Measured, api.Next = false, err.Error(), "check target.upstash in the configuration"
			case found:
				_, why := db.Fixed1GB()
				api.Measured = "answers"
				out.Observed = append(out.Observed, migration.Fact{Label: "Database", Value: fmt.Sprintf("%s exists and is adopted (%s)", db.Name, why)})
			default:
				api.Measured = "answers"
				out.Observed = append(out.Observed, migration.Fact{Label: "Database", Value: t.DatabaseName + " does not exist and is created"})
			}
			app := migration.Gate{ID: "app", Title: "The app's configuration can be read", OK: true, Measured: "read", Limit: "config vars are readable"}
			if _, err := e.heroku.ConfigVars(ctx, e.cfg.Heroku.App); err != nil {
				app.OK, app.Measured, app.Next = false, err.Error(), "check heroku in the configuration"
			}
			out.Gates = append(out.Gates, stage, api, app)
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{
				{
					ActionPlan: migration.ActionPlan{ID: "database", Title: "Create or adopt the database", Changes: "a paid database in the managed service's account",
						Undo: "forgets the database; it stays and is billed until somebody deletes it"},
					Do:   createDatabase,
					Undo: func(ctx context.Context, c *Call) error { return c.forgetTarget(ctx) },
				},
				{
					ActionPlan: migration.ActionPlan{ID: "probe", Title: "Try the commands that BullMQ needs on a scratch key, over verified TLS"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						facts, err := c.probeTarget(ctx)
						if err != nil {
							return nil, err
						}
						return facts, c.Prove(ctx, migration.CheckTargetConn, migration.Observed, "commands on the database itself", facts)
					},
				},
				{
					ActionPlan: migration.ActionPlan{ID: "config-var", Title: "Give the address to the app", Changes: "config var " + targetVar + "; the app restarts", Undo: "removes the config var; the app restarts"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						_, endpoint, err := c.Target(ctx)
						if err != nil {
							return nil, err
						}
						changed, err := c.heroku.SetConfigVars(ctx, c.cfg.Heroku.App, map[string]*migration.Secret{targetVar: &endpoint.URL})
						if err != nil {
							return nil, err
						}
						vars, err := c.heroku.ConfigVars(ctx, c.cfg.Heroku.App)
						if err != nil {
							return nil, err
						}
						if vars[targetVar] != endpoint.URL {
							return nil, fmt.Errorf("the app's config var %s does not read back as it was set", targetVar)
						}
						c.Log("%s set and read back (changed: %v)", targetVar, changed)
						return nil, nil
					},
					Undo: func(ctx context.Context, c *Call) error {
						_, err := c.heroku.SetConfigVars(ctx, c.cfg.Heroku.App, map[string]*migration.Secret{targetVar: nil})
						return err
					},
				},
				{
					ActionPlan: migration.ActionPlan{ID: "connected", Title: "Wait until every live worker is connected to it"},
					Do:         awaitTargetConnections,
				},
			}
		},
	}
}

// createDatabase finds the database by name first and again after a failed create: a create whose answer was lost must not make two.
func createDatabase(ctx context.Context, c *Call) (any, error) {
	t := c.cfg.Target.Upstash
	db, found, err := c.upstash.FindByName(ctx, t.DatabaseName)
	if err != nil {
		return nil, err
	}
	if !found {
		c.Log("creating %s", t.DatabaseName)
		db, err = c.upstash.Create(ctx, upstash.CreateRequest{DatabaseName: t.DatabaseName, Platform: t.Platform, PrimaryRegion: t.PrimaryRegion, Plan: upstash.Fixed1GB, TLS: true})
		if err != nil {
			again, there, findErr := c.upstash.FindByName(ctx, t.DatabaseName)
			if findErr != nil || !there {
				return nil, err
			}
			db = again
		}
	}
	if db.Eviction || db.DBEviction {
		c.Log("eviction is on; switching it off")
		if err := c.upstash.DisableEviction(ctx, db.ID); err != nil {
			return nil, err
		}
	}
	if err := c.store.SetSetting(ctx, targetSetting, targetRef{DatabaseID: db.ID}); err != nil {
		return nil, err
	}
	facts, err := c.targetPlan(ctx, db.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Prove(ctx, migration.CheckTargetPlan, migration.Observed, "developer API", facts); err != nil {
		return nil, fmt.Errorf("%w: mend the database in the managed service's console; pay-as-you-go bills every idle poll of BullMQ", err)
	}
	c.Log("database %s (%s) in %s", db.Name, db.ID, db.PrimaryRegion)
	return targetRef{db.ID}, nil
}

func (e *Estate) forgetTarget(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.target != nil {
		_ = e.target.Close() // a connection nobody needs any more
		e.target = nil
	}
	return e.store.DeleteSetting(ctx, targetSetting)
}

// targetPlan reads from the managed service's API what the database is.
func (e *Estate) targetPlan(ctx context.Context, id string) (migration.TargetPlanFacts, error) {
	db, err := e.upstash.Get(ctx, id, false)
	if err != nil {
		return migration.TargetPlanFacts{}, err
	}
	fixed, why := db.Fixed1GB()
	return migration.TargetPlanFacts{Provider: "Upstash", DatabaseID: db.ID, Name: db.Name, Region: db.PrimaryRegion, Fixed1GB: fixed, PlanNote: why,
		Eviction: db.Eviction || db.DBEviction, TLS: db.TLS, State: db.State}, nil
}

// probeTarget tries on the target what BullMQ 6.7 does there: its scripts use cjson, cmsgpack and build keys dynamically; workers block on
// BZPOPMIN; events are a stream. DUMP and RESTORE are not needed by the job-wise move.
func (e *Estate) probeTarget(ctx context.Context) (migration.TargetConnFacts, error) {
	client, endpoint, err := e.Target(ctx)
	if err != nil {
		return migration.TargetConnFacts{}, err
	}
	// go-redis verifies the certificate unless told otherwise, and it is never told otherwise here.
	facts := migration.TargetConnFacts{Address: endpoint.Address(), TLSVerified: endpoint.TLS()}
	start := time.Now()
	if err := client.Ping(ctx).Err(); err != nil {
		return facts, fmt.Errorf("%s: %w", endpoint.Address(), err)
	}
	facts.LatencyUS = time.Since(start).Microseconds()
	key := "switchyard:probe:" + newToken()[:12]
	sub := func(s string) string { return key + ":" + s }
	defer client.Del(context.WithoutCancel(ctx), key, sub("list"), sub("zset"), sub("stream"), sub("set"), sub("lua"))
	for _, p := range []struct {
		name string
		args []any
	}{
		{"HSET", []any{"hset", key, "data", "{}"}},
		{"HGETALL", []any{"hgetall", key}},
		{"LPUSH", []any{"lpush", sub("list"), "1"}},
		{"LPOS", []any{"lpos", sub("list"), "1"}},
		{"ZADD", []any{"zadd", sub("zset"), "0", "0"}},
		{"BZPOPMIN", []any{"bzpopmin", sub("zset"), "1"}},
		{"XADD", []any{"xadd", sub("stream"), "*", "event", "probe"}},
		{"XREAD", []any{"xread", "count", "1", "streams", sub("stream"), "0"}},
		{"XTRIM", []any{"xtrim", sub("stream"), "maxlen", "~", "10"}},
		{"SADD", []any{"sadd", sub("set"), "1"}},
		{"EVAL with cjson, cmsgpack and built keys", []any{"eval", `local v = cmsgpack.unpack(cmsgpack.pack(cjson.decode('{"a":1}')))
redis.call('SET', ARGV[1] .. ':lua', v.a); return redis.call('GET', ARGV[1] .. ':lua')`, "0", key}},
		{"INFO", []any{"info", "server"}},
		{"CLIENT LIST", []any{"client", "list"}},
		{"CLIENT SETNAME", []any{"client", "setname", "switchyard"}},
		{"SCAN", []any{"scan", "0", "count", "10"}},
		{"PEXPIRE", []any{"pexpire", key, "60000"}},
	} {
		if err := client.Do(ctx, p.args...).Err(); err != nil && err != redis.Nil { //nolint:errorlint // go-redis documents the comparison
			if ctx.Err() != nil {
				return facts, ctx.Err()
			}
			facts.Refused = append(facts.Refused, p.name)
			continue
		}
		facts.Answered = append(facts.Answered, p.name)
	}
	return facts, nil
}

func awaitTargetConnections(ctx context.Context, c *Call) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return nil, await(ctx, 250*time.Millisecond, func(context.Context) error {
		live := c.workers.Attestations()
		if len(live) == 0 {
			return notYet("no live worker reports itself after the restart")
		}
		for _, w := range live {
			ready := false
			for _, conn := range w.Connections {
				if conn.Side == "target" && conn.Role == "producer" {
					ready = conn.Status == "ready"
				}
			}
			if !ready {
				c.Progress("waiting for %s to connect to the managed Redis", w.Instance)
				return notYet("worker %s attests no ready producer connection to the managed Redis", w.Instance)
			}
		}
		c.Log("%d live workers are connected to the managed Redis", len(live))
		return nil
	})
}
