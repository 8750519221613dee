package provision

import (
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// offered is what the database costs, by the service's offer, and how that is known.
func (s Parts) offered() string {
	o := s.Managed.Service.Offer()
	if o.Plan.MonthlyUSD <= 0 {
		return ""
	}
	return fmt.Sprintf("$%s a month (%s)", dollars(o.Plan.MonthlyUSD), told(o.Price))
}

// result says what is there now, and what it costs.
func result(run migration.Run) migration.RunResult {
	ref, ok := migration.OutputOf[databaseRef](run, "database")
	if !ok || ref.DatabaseID == "" {
		return migration.RunResult{Said: "No database was created or adopted."}
	}
	out := migration.RunResult{Said: "The managed Redis " + ref.DatabaseID + " is in use as target."}
	if p := ref.Plan; p != nil {
		out.Said = fmt.Sprintf("The managed Redis %s (%s) is in use as target.", p.Name, p.DatabaseID)
		out.Compare("Plan", p.Wanted, p.PlanNote, migration.Truth(p.PlanFits || p.Fixed1GB))
		out.Compare("Eviction", "off", onOff(p.Eviction), migration.Truth(!p.Eviction))
		if p.Region != "" {
			out.Tell("Region", "%s", p.Region)
		}
	}
	price := ref.Price
	if price == "" {
		price = "unknown"
	}
	out.Tell("Price", "%s", price)
	if f, ok := migration.OutputOf[evidence.TargetConnFacts](run, "probe"); ok {
		out.Compare("Commands that BullMQ needs", "all answered",
			fmt.Sprintf("%d answered, %d refused", len(f.Answered), len(f.Refused)),
			migration.Truth(len(f.Refused) == 0 && len(f.Answered) > 0))
		tls := map[bool]string{true: "verified", false: "not verified"}[f.TLSVerified]
		out.Compare("TLS", "verified", tls, migration.Truth(f.TLSVerified))
		latency := migration.Figure{}
		if f.Pings > 0 {
			latency = migration.Measured(f.LatencyUS)
		}
		out.Tell("Latency, median", "%s", latency.Text(func(us int64) string {
			return migration.Words(time.Duration(us) * time.Microsecond)
		}))
	}
	return out
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
