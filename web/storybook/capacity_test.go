package storybook

import (
	"math"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/workflows"
)

// storyCapacity is three weeks of a shop that grows, half of its prices known.
func storyCapacity() workflows.Capacity {
	var hours []capacity.Hour
	for i := range 21 * 24 {
		at := storyTime.Truncate(time.Hour).Add(time.Duration(i-21*24+1) * time.Hour)
		day := 1 + 0.6*math.Sin(float64(at.Hour())/24*2*math.Pi)
		hours = append(
			hours,
			capacity.Hour{
				Start: at, Seen: time.Hour, Commands: int64(90 * 3600 * day),
				Calls: int64(21 * 3600 * day), NetBytes: int64(31e6 * day), Peak: 900 * day,
				Memory: 520e6 + int64(i)*400e3, Connections: 84,
			},
		)
	}
	usd := func(v float64) *float64 { return &v }
	limits := capacity.Limits{
		Memory: 1 << 30, Connections: 10_000, CommandsPerSecond: 10_000,
		BytesPerMonth: 100 << 30,
	}
	since := hours[0].Start
	rates := capacity.RatesOf(hours)
	managed := workflows.CostLine{
		What: "Upstash Fixed 1 GB", USD: usd(20), Source: "vendor's price list of 2026-08-21",
	}
	single := workflows.CostLine{
		What: "The single Redis", USD: usd(7),
		Source: "Nanode 1GB at Linode, price of 2026-11-23, of which $2.00 for backups",
	}
	node := func(name string) workflows.CostLine {
		return workflows.CostLine{
			What: name, USD: usd(5), Source: "Nanode 1GB at Linode, price of 2026-11-23",
		}
	}
	out := workflows.Capacity{
		At: storyTime, Phase: workflows.CostInterim,
		Phases: []workflows.CostPhase{
			{
				ID: "now", Title: "Before migration: the single Redis",
				Lines: []workflows.CostLine{single}, USD: 7, Complete: true,
			},
			{
				ID: "interim", Title: "During migration: Sentinel + old Redis + managed Redis",
				USD: 37,
				Lines: []workflows.CostLine{
					single, node("sentinel-1"), node("sentinel-2"),
					{
						What:   "sentinel-3",
						Source: "source.sentinel.nodes[2].linode_id is not configured",
					},
					managed,
				},
			},
			{
				ID: "after", Title: "After: the managed Redis alone",
				Lines: []workflows.CostLine{managed}, USD: 20, Complete: true,
			},
		},
		PayAsYouGo: &workflows.MeteredCost{
			Side: "source", Rates: rates, Low: usd(108.86), High: 466.56, Fixed: 20,
			Enough: true,
		},
		PlanNote: "vendor's price list of 2026-08-21; connections: reported by the database",
		Sides: []workflows.SideLoad{
			{
				Side: "source", Endpoint: "sentinel", Since: &since, Rates: rates,
				Uses: capacity.Uses(hours, limits), Hours: hours,
			},
			{
				Side: "target", Endpoint: "managed",
				Error: "the managed Redis did not answer within 3 s",
				Uses:  capacity.Uses(nil, limits),
			},
		},
	}
	out.Plan.Title = "Fixed 1 GB"
	return out
}

func capacityStories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	out["capacity"] = story{
		frame: frame("Cost and capacity", "capacity", "/m/order-pipeline/capacity", viewer),
		page: adminpages.CapacityPage(
			adminpages.Capacity{
				MigrationID: mid, Capacity: storyCapacity(), Now: storyTime,
			},
		),
	}
	out["capacity-empty"] = story{
		frame: frame("Cost and capacity", "capacity", "/m/order-pipeline/capacity", viewer),
		page: adminpages.CapacityPage(
			adminpages.Capacity{MigrationID: mid, Now: storyTime,
				Capacity: workflows.Capacity{
					Sides: []workflows.SideLoad{
						{Side: "source", Uses: capacity.Uses(nil, capacity.Limits{})},
						{
							Side:  "target",
							Error: "the managed Redis is not provisioned yet",
							Uses:  capacity.Uses(nil, capacity.Limits{}),
						},
					},
				}},
		),
	}
	return out
}
