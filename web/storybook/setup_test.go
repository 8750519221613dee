package storybook

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// said is what each part of a set-up answered.
var said = map[string][]workflows.SetupFinding{
	"data":      {{Finding: doctor.Finding{Key: "data_dir", State: doctor.OK, Said: "/var/lib/switchyard can be written to"}}},
	"database":  {{Finding: doctor.Finding{Key: "database_url", State: doctor.OK, Said: "PostgreSQL 16.4"}}},
	"listeners": {{Finding: doctor.Finding{Key: "addr", State: doctor.OK, Said: "Switchyard serves at 10.0.0.5:8080"}}},
	"redis-server": {{Finding: doctor.Finding{Key: "redis_server", State: doctor.Absent,
		Said: "off: a breaker drill cannot run",
		Next: "Install redis-server on this machine, and leave the key out."},
		Criteria: []string{"breaker"}}},
	"standalone": {
		{Finding: doctor.Finding{Key: "source.standalone.url", State: doctor.OK,
			Said: "10.0.0.1:6379: Redis 7.0.15, master, 40350 keys, 31 connections"}},
		{Finding: doctor.Finding{Key: "source.standalone.url", State: doctor.Fails,
			Said: "this user may not run CONFIG SET, REPLICAOF, CLIENT PAUSE, CLIENT UNPAUSE",
			Next: "On the server: ACL SETUSER app +config|set +replicaof +client|pause +client|unpause"},
			Criteria: []string{"sentinel", "decommission"}},
		{Finding: doctor.Finding{Key: "queues", State: doctor.OK,
			Said: "the server holds order-ingestion, invoices, mail:reminders"}},
	},
	"sentinel": {{Finding: doctor.Finding{Key: "source.sentinel", State: doctor.Unknown,
		Said: "not asked: the test was over after 2 min", Next: "Test it by itself."}}},
	"machines": {{Finding: doctor.Finding{Key: "linode", State: doctor.OK, Said: "redis-linode (1): running"}}},
	"target": {{Finding: doctor.Finding{Key: "target.url", State: doctor.Fails,
		Said: "Redis unreachable: no answer in time", Next: "Check the address and the key."},
		Criteria: []string{"target", "breaker", "decommission", "sentinel"}}},
	"stripe": {{Finding: doctor.Finding{Key: "stripe.key", State: doctor.OK, Said: "Stripe lists events"}}},
	"shopify": {{Finding: doctor.Finding{Key: "shopify.token", State: doctor.Fails,
		Said: "the token has read_customers, and not read_orders",
		Next: "In the shop, give the app read_orders."}}},
	"clickfunnels": {{Finding: doctor.Finding{Key: "clickfunnels.token", State: doctor.Absent,
		Said: "ClickFunnels is not asked for what was lost",
		Next: "Give clickfunnels.api, clickfunnels.workspace and clickfunnels.token. It is optional: " +
			"an export of it can be handed over as a file."}}},
	"notifications": {{Finding: doctor.Finding{Key: "notifications", State: doctor.OK,
		Said: "ops (slack) is told of approval, change, alert from warning on; nothing was sent: " +
			"switchyard notifications test ops sends a test"}}},
}

func storySetup(at time.Time) workflows.Setup {
	out := workflows.Setup{
		Criteria: []workflows.SetupCriterion{
			{ID: "sentinel", Title: "Sentinel deployed, automatic failover tested"},
			{ID: "target", Title: "Managed Fixed 1 GB Redis provisioned and connected"},
			{ID: "breaker", Title: "enableOfflineQueue: false is active on every Queue"},
			{ID: "decommission", Title: "Old Redis decommissioned after cutover validation"},
		},
		Secrets: []workflows.SecretKey{
			{Key: "worker_token", Set: true, From: "env:WORKER_TOKEN"},
			{Key: "source.standalone.url", Set: true, From: "file:/run/secrets/source"},
			{Key: "linode.token", Set: true}, {Key: "stripe.key"},
		},
	}
	for _, p := range doctor.Parts() {
		part := workflows.SetupPart{ID: p.ID, Group: p.Group, Title: p.Title}
		if f := said[p.ID]; f != nil && !at.IsZero() {
			part.Findings, part.AskedAt, part.AskedBy = f, at, "ada"
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

func setupStories(t *testing.T) map[string]story {
	t.Helper()
	page := func(s workflows.Setup, who ui.Who) story {
		return story{
			frame: frame("Set-up", "setup", "/m/order-pipeline/setup", who),
			page: migrationpages.SetupPage(migrationpages.Setup{
				MigrationID: mid, Setup: s, Now: storyTime, Who: who,
			}),
		}
	}
	asked := storySetup(storyTime.Add(-90 * time.Second))
	asked.Criteria[0].Missing = []string{"source.standalone.url", "target.url"}
	asked.Criteria[1].Missing = []string{"target.url"}
	asked.Criteria[2].Missing = []string{"redis_server", "target.url"}
	asked.Criteria[3].Missing = []string{"source.standalone.url", "target.url"}
	asked.Test = &workflows.SetupTest{Part: "variables", By: "linus", Since: storyTime.Add(-2 * time.Minute)}
	asked.Address = &workflows.AddressTest{
		By: "ada", At: storyTime.Add(-time.Minute),
		Findings: []workflows.SetupFinding{{
			Finding: doctor.Finding{Key: "reachable", State: doctor.Fails,
				Said: "10.0.0.9:6380: what listens there does not answer as Redis does",
				Next: "Check the port. If it takes TLS alone, use rediss://."},
			Criteria: []string{"sentinel", "target", "breaker", "decommission"},
		}},
	}
	return map[string]story{
		"setup":         page(asked, engineer),
		"setup-unasked": page(storySetup(time.Time{}), viewer),
	}
}
