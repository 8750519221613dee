package upstash

import "slices"

// Prices and limits below are those of the vendor's documents and price page as published on PricedAt, and again on a page read on
// 2026-09-20. The initiative had reckoned with $15 a month for Fixed 1 GB.
const (
	PricedAt    = "2026-08-21"
	PriceSource = "https://upstash.com/pricing/redis"
)

// Plan is what the vendor's price page says of one plan. Sizes are in bytes, prices in USD; 0 is not in the table.
type Plan struct {
	Name       string  `json:"name"`  // the API's, such as fixed_1gb
	Title      string  `json:"title"` // the price page's, such as Fixed 1 GB
	MonthlyUSD float64 `json:"monthly_usd"`
	MaxBytes   int64   `json:"max_bytes"` // of data
	// BandwidthBytes is what a month may carry without further cost.
	BandwidthBytes int64 `json:"bandwidth_bytes"`
	// MonthlyCommands is the limit of the free plan; 0 is none.
	MonthlyCommands      int64 `json:"monthly_commands"`
	MaxCommandsPerSecond int64 `json:"max_commands_per_second"`
	MaxRequestBytes      int64 `json:"max_request_bytes"`
	MaxRecordBytes       int64 `json:"max_record_bytes"`
	// MaxConnections is not in the price page. It is the example of db_max_clients in the API's
	// document, so it is a guess until the database itself says it.
	//
	// See Database.MaxClients.
	MaxConnections int64 `json:"max_connections"`
	// Metered: it is billed by use.
	//
	// See MeteredMonthly.
	Metered bool `json:"metered"`
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// PayAsYouGo is the API's name of the plan that is billed by command.
const PayAsYouGo = "payg"

var plans = []Plan{
	{"free", "Free", 0, 256 * mib, 10 * gib, 500_000, 10_000, 10 * mib, 100 * mib, documentedClients, false},
	{PayAsYouGo, "Pay as you go", 0, 100 * gib, 200 * gib, 0, 10_000, 10 * mib, 100 * mib, documentedClients, true},
	{"fixed_250mb", "Fixed 250 MB", 10, 250 * mib, 50 * gib, 0, 10_000, 10 * mib, 100 * mib, documentedClients, false},
	{Fixed1GB, "Fixed 1 GB", 20, gib, 100 * gib, 0, 10_000, 10 * mib, 200 * mib, documentedClients, false},
	{"fixed_5gb", "Fixed 5 GB", 100, 5 * gib, 500 * gib, 0, 10_000, 20 * mib, 300 * mib, documentedClients, false},
	{"fixed_10gb", "Fixed 10 GB", 200, 10 * gib, 1024 * gib, 0, 10_000, 30 * mib, 400 * mib, documentedClients, false},
	{"fixed_50gb", "Fixed 50 GB", 400, 50 * gib, 5 * 1024 * gib, 0, 10_000, 50 * mib, 500 * mib, documentedClients, false},
	{"fixed_100gb", "Fixed 100 GB", 800, 100 * gib, 10 * 1024 * gib, 0, 16_000, 75 * mib, gib, documentedClients, false},
	{"fixed_500gb", "Fixed 500 GB", 1500, 500 * gib, 20 * 1024 * gib, 0, 16_000, 100 * mib, 5 * gib, documentedClients, false},
}

// documentedClients is the example of db_max_clients in the API's document.
const documentedClients = 10_000

// Plans lists the plans, cheapest fixed one first after the free and the metered one.
func Plans() []Plan { return slices.Clone(plans) }

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

// PayAsYouGoMonthly is what a month of pay-as-you-go would cost in USD at a steady rate of commands, with that much data stored and that much traffic
// in both directions. Whether the vendor bills the commands inside a Lua script one by one is not documented; the rate that INFO gives has them.
func PayAsYouGoMonthly(commandsPerSecond float64, storedBytes, monthlyTransferBytes int64) float64 {
	usd := commandsPerSecond * SecondsPerMonth / 100_000 * USDPer100kCommands
	usd += float64(max(storedBytes-FreeStoredBytes, 0)) / gib * USDPerGBStored
	return usd + float64(max(monthlyTransferBytes-FreeTransferBytes, 0))/gib*USDPerGBTransferred
}

// BreakEvenCommandsPerSecond is the steady rate above which pay-as-you-go costs more than the fixed plan, data and traffic left aside.
func BreakEvenCommandsPerSecond(p Plan) float64 {
	return p.MonthlyUSD / USDPer100kCommands * 100_000 / SecondsPerMonth
}
