package upstash

import (
	"slices"

	"github.com/switchyard-dev/switchyard/providers"
)

// Prices and limits below are those of the vendor's documents and price page as published
// on PricedAt, and again on a page read on 2026-09-20. The initiative had reckoned with
// $15 a month for Fixed 1 GB.
const (
	PricedAt    = "2026-08-21"
	PriceSource = "https://upstash.com/pricing/redis"
)

// Plan is the initiative as data: what must be true at the end (criteria), the way there
// (steps), when (milestones relative to the event), what it costs, what may go wrong and
// what was ruled out.
//
// It is read from YAML (package plan); a migration is created from one and keeps its own copy.
type Plan = providers.Plan

const (
	mib = 1 << 20
	gib = 1 << 30
)

// PayAsYouGo is the API's name of the plan that is billed by command.
const PayAsYouGo = "payg"

// plans: the free and the metered one, then the fixed ones, cheapest first.
var plans = []Plan{
	{
		Name: "free", Title: "Free", MonthlyUSD: 0,
		MaxBytes: 256 * mib, BandwidthBytes: 10 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 10 * mib, MaxRecordBytes: 100 * mib,
		MaxConnections: documentedClients, MonthlyCommands: 500_000,
	},
	{
		Name: PayAsYouGo, Title: "Pay as you go", MonthlyUSD: 0,
		MaxBytes: 100 * gib, BandwidthBytes: 200 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 10 * mib, MaxRecordBytes: 100 * mib,
		MaxConnections: documentedClients, Metered: true,
	},
	{
		Name: "fixed_250mb", Title: "Fixed 250 MB", MonthlyUSD: 10,
		MaxBytes: 250 * mib, BandwidthBytes: 50 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 10 * mib, MaxRecordBytes: 100 * mib,
		MaxConnections: documentedClients,
	},
	{
		Name: Fixed1GB, Title: "Fixed 1 GB", MonthlyUSD: 20,
		MaxBytes: gib, BandwidthBytes: 100 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 10 * mib, MaxRecordBytes: 200 * mib,
		MaxConnections: documentedClients,
	},
	{
		Name: "fixed_5gb", Title: "Fixed 5 GB", MonthlyUSD: 100,
		MaxBytes: 5 * gib, BandwidthBytes: 500 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 20 * mib, MaxRecordBytes: 300 * mib,
		MaxConnections: documentedClients,
	},
	{
		Name: "fixed_10gb", Title: "Fixed 10 GB", MonthlyUSD: 200,
		MaxBytes: 10 * gib, BandwidthBytes: 1024 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 30 * mib, MaxRecordBytes: 400 * mib,
		MaxConnections: documentedClients,
	},
	{
		Name: "fixed_50gb", Title: "Fixed 50 GB", MonthlyUSD: 400,
		MaxBytes: 50 * gib, BandwidthBytes: 5 * 1024 * gib,
		MaxCommandsPerSecond: 10_000, MaxRequestBytes: 50 * mib, MaxRecordBytes: 500 * mib,
		MaxConnections: documentedClients,
	},
	{
		Name: "fixed_100gb", Title: "Fixed 100 GB", MonthlyUSD: 800,
		MaxBytes: 100 * gib, BandwidthBytes: 10 * 1024 * gib,
		MaxCommandsPerSecond: 16_000, MaxRequestBytes: 75 * mib, MaxRecordBytes: gib,
		MaxConnections: documentedClients,
	},
	{
		Name: "fixed_500gb", Title: "Fixed 500 GB", MonthlyUSD: 1500,
		MaxBytes: 500 * gib, BandwidthBytes: 20 * 1024 * gib,
		MaxCommandsPerSecond: 16_000, MaxRequestBytes: 100 * mib, MaxRecordBytes: 5 * gib,
		MaxConnections: documentedClients,
	},
}

// documentedClients is the example of db_max_clients in the API's document.
const documentedClients = 10_000

// PlanOf gives the plan of an API name.
func PlanOf(name string) (Plan, bool) {
	i := slices.IndexFunc(plans, func(p Plan) bool { return p.Name == name })
	if i < 0 {
		return Plan{}, false
	}
	return plans[i], true
}

// Prices of pay-as-you-go in USD, one region, from PriceSource at PricedAt.
const (
	USDPer100kCommands  = 0.20
	USDPerGBStored      = 0.25 // a month
	FreeStoredBytes     = gib
	USDPerGBTransferred = 0.03
	FreeTransferBytes   = 200 * gib
	// SecondsPerMonth is a month of 30 days.
	SecondsPerMonth = 30 * 24 * 3600
)

// PayAsYouGoMonthly is what a month of pay-as-you-go would cost in USD at a steady rate
// of commands, with that much data stored and that much traffic in both directions.
// Whether the vendor bills the commands inside a Lua script one by one is not documented;
// the rate that INFO gives has them.
func PayAsYouGoMonthly(commandsPerSecond float64, storedBytes, monthlyTransferBytes int64) float64 {
	usd := commandsPerSecond * SecondsPerMonth / 100_000 * USDPer100kCommands
	usd += float64(max(storedBytes-FreeStoredBytes, 0)) / gib * USDPerGBStored
	return usd + float64(max(monthlyTransferBytes-FreeTransferBytes, 0))/gib*USDPerGBTransferred
}
