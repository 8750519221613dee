package storybook

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// decommissionStories are a decommission's run at the places where somebody looks at it.
func decommissionStories(t *testing.T) map[string]migration.Run {
	t.Helper()
	ago := func(d time.Duration) time.Time { return storyTime.Add(-d) }
	plans := []migration.ActionPlan{
		{
			ID: "release", Title: "Disconnect the app from the source",
			Changes: "flag source-endpoint: none", Undo: "sets the former source again",
		},
		{ID: "quiet", Title: "Watch for 3 d that nobody uses the old servers"},
		{
			ID: "fence", Title: "Fence every old server against writes",
			Changes: "min-replicas-to-write on every node: writes are refused, scripts too; " +
				"reads go on",
			Undo: "lifts the fence", Approval: migration.ApprovalOne,
		},
		{
			ID: "backup",
			Title: "Back up the source, restore the backup into a scratch server and compare it " +
				"with the source",
		},
		{ID: "fence-window", Title: "Keep blocking writes until there is no connection attempt for 24 h"},
		{
			ID: "power-off", Title: "Power every old server off",
			Changes: "the servers stop", Undo: "boots them again",
			Approval: migration.ApprovalOne,
		},
		{
			ID: "delete", Title: "Check that nothing answers there, and delete the servers",
			Changes:  "the servers, their disks and their backups at the host are deleted for good",
			Approval: migration.ApprovalTwo,
		},
	}
	nodes := []evidence.WatchedNode{
		{Address: "10.0.0.5:6379", Fenced: true},
		{
			Address: "10.0.0.4:6379", Fenced: true,
			Unseen: "MONITOR: NOPERM this user has no permissions to run the 'monitor' command",
		},
	}
	quiet := evidence.WatchFacts{
		Nodes: []evidence.WatchedNode{
			{Address: "10.0.0.5:6379", Unseen: "MONITOR is not used here"},
		},
		WindowSeconds: 259200, Began: ago(96 * time.Hour), Since: ago(96 * time.Hour),
		SeenAt: ago(24 * time.Hour), Over: true,
		Findings: []migration.Gate{
			{
				ID:    "clients",
				Title: "Nobody but Switchyard is connected or sends commands", OK: true,
				Measured: "nobody", Limit: "nobody",
			},
			{
				ID: "writes", Title: "No write", OK: true, Measured: "0 writes",
				Limit: "0 writes",
			},
			{
				ID: "residue", Title: "No unfinished job is left on the source", OK: true,
				Measured: "0 jobs in 4 queues", Limit: "0 jobs in every queue",
			},
		},
	}
	backup := evidence.BackupFacts{
		File: "backups/source-4b1f09c2aa.rdb", Method: "replication",
		TakenAt: ago(23 * time.Hour), Seconds: 5.9, Keys: 100_009, Bytes: 18_021_253,
		SHA256:   "3b68263999897cff9b91679fb03458f8ed6303c50b6cdffab1544bfe57655525",
		Verified: true, Restored: true, Compared: 100_009,
	}
	fence := evidence.WatchFacts{
		Nodes: nodes, WindowSeconds: 86400, Began: ago(23 * time.Hour),
		Since: ago(40 * time.Second), SeenAt: ago(time.Second),
		Knocks: []evidence.Knock{
			{
				Node: "10.0.0.5:6379", Addr: "10.0.7.21:51544", Name: "bull:cmVwb3J0cw==",
				User: "default", Library: "ioredis 5.4.1", Command: "evalsha", Times: 4,
				Refused: 812, Connected: true, FirstSeen: ago(22 * time.Hour),
				LastSeen: ago(time.Second),
			},
			{
				Node: "10.0.0.5:6379", Addr: "10.0.7.40:40112",
				Name: "<script>alert(1)</script>", User: "cron", Command: "get", Times: 1,
				FirstSeen: ago(5 * time.Hour), LastSeen: ago(5 * time.Hour),
			},
			{
				Node: "10.0.0.4:6379", Command: "lpush", Times: 2, Refused: 2,
				FirstSeen: ago(3 * time.Hour), LastSeen: ago(40 * time.Second),
			}},
	}
	calm := fence
	calm.Knocks, calm.Since = nil, ago(9*time.Hour+20*time.Minute)
	over := calm
	over.Knocks, over.Over = fence.Knocks[1:2], true
	at := func(state migration.RunState, done int, fence evidence.WatchFacts) migration.Run {
		r := storyRun(migration.RunRunning)
		r.Step, r.Params, r.State, r.Progress = "decommission", migration.Params{}, state, ""
		r.Plan = migration.StepPlan{
			Step: "decommission",
			Summary: "Disconnect the app from the source, prove that it is quiet, fence it, back " +
				"it up, power every old server off and delete it.",
			Impact: "Deleted for good: the single Redis, every Sentinel node, their disks and " +
				"backups at the host.",
			Approval: migration.ApprovalOne, Irreversible: true, Actions: plans,
			Hash: strings.Repeat("ab12", 4),
		}
		r.Approvals = []migration.Consent{
			{
				Action: "fence", Approved: true, By: "ada",
				Comment: "everybody is at their desks", At: ago(24 * time.Hour),
			},
		}
		r.Actions = nil
		for i, p := range plans {
			a := migration.RunAction{ActionPlan: p, State: migration.ActionPending}
			if i <= done {
				began, end := ago(time.Duration(24-i)*time.Hour), ago(time.Duration(23-i)*time.Hour)
				a.State, a.StartedAt, a.FinishedAt = migration.ActionDone, &began, &end
			}
			switch {
			case p.ID == "quiet":
				a.Output = rawFacts(t, quiet)
			case p.ID == "backup":
				a.Output = rawFacts(t, backup)
			case p.ID == "fence-window":
				a.Output = rawFacts(t, fence)
			}
			if p.ID == "fence-window" && !fence.Over {
				a.State, a.FinishedAt = migration.ActionRunning, nil
			}
			r.Actions = append(r.Actions, a)
		}
		return r
	}
	off := at(migration.RunAwaitingApproval, 4, over)
	gone := at(migration.RunAwaitingApproval, 5, over)
	gone.Approvals = append(
		gone.Approvals,
		migration.Consent{Action: "power-off", Approved: true, By: "ada", At: ago(time.Hour)},
	)
	second := gone
	second.RequestedBy = "linus"
	loud := at(migration.RunFailed, 0, calm)
	noisy := quiet
	noisy.Over, noisy.Knocks = false, fence.Knocks[:2]
	noisy.Findings = []migration.Gate{
		{
			ID: "clients", Title: "Nobody but Switchyard is connected or sends commands",
			Measured: `10.0.7.21:51544 named "bull:cmVwb3J0cw==" on 10.0.0.5:6379 (user default, last command evalsha, ioredis 5.4.1)`,
			Limit:    "nobody",
			Next: "stop these apps or point them at the target, then start the decommission " +
				"again",
		},
		{
			ID: "events", Title: "No new events in any queue",
			Measured: "new entries in reports (1795702831838-0)", Limit: "no new entry",
			Next: "an app still adds or runs jobs there: stop it, and move what it added",
		},
	}
	loud.Actions = loud.Actions[:2]
	loud.Actions[1].State, loud.Actions[1].Output = migration.ActionFailed, rawFacts(t, noisy)
	loud.Error = "Watch for 3 d that nobody uses the old servers: the old servers are not quiet"
	plain := at(migration.RunRunning, 3, calm)
	unrestored := backup
	unrestored.Method, unrestored.File = "dump", "backups/source-4b1f09c2aa.dump"
	unrestored.Restored = false
	unrestored.NotRestored = "redis-server is not installed on Switchyard's machine"
	plain.Actions[3].Output = rawFacts(t, unrestored)
	return map[string]migration.Run{
		"run-decommission-knocks": at(migration.RunRunning, 3, fence),
		"run-decommission-fence":  plain, "run-decommission-power-off": off,
		"run-decommission-delete": gone, "run-decommission-delete-second": second,
		"run-decommission-loud": loud,
	}
}
