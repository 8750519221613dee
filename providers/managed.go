package providers

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
)

// Managed is a managed Redis service, and the one database there that the queues are to
// move to. Which one is in its configuration. It is safe for concurrent use.
//
// There is no Delete: Switchyard forgets a database and never removes one, since the
// orders in it are not Switchyard's.
//
// Every method that asks the service fails with the kind Unavailable when it does not
// answer, or not as documented. Further kinds are with each method. No error holds a
// credential.
type Managed interface {
	// Offer says what is wanted and what the service can do. It asks nobody.
	Offer() Offer
	// Find looks for the wanted database and says whether it is, or would be, as wanted.
	// It changes nothing. Conflict: there are several of that name.
	Find(ctx context.Context) (Found, error)
	// Ensure sees to it that there is exactly one database as wanted, and gives it.
	// Calling it again is harmless, also after an error. found, if not nil, is told the
	// database as soon as its id is known and before anything else is done to it; an
	// error of it ends Ensure. created says whether this call made the database.
	//
	// Blocked: the database is not as wanted, and Ensure may not change that; it stays as
	// it is. Or there is none and the service creates none (ErrUnsupported). Conflict:
	// there are several. NotFound: it was there and is gone again.
	Ensure(ctx context.Context, found func(db Database, created bool) error) (
		db Database, created bool, err error)
	// Describe says what the database of that id is now. One that is gone has
	// StateDeleted. Conflict: the configuration names another database by now.
	Describe(ctx context.Context, id string) (Database, error)
	// Access gives what it takes to connect to the database of that id. Errors as
	// Describe.
	Access(ctx context.Context, id string) (Access, error)
	// MeteredUSD is what a month of that usage would cost if the service billed by use;
	// offered is false where it has no such plan, or nobody knows its prices.
	MeteredUSD(u Usage) (usd float64, offered bool)
}

// Offer is what a managed service is asked for, and what it can do.
type Offer struct {
	Service string // for people: "Upstash"
	Key     string // of the configuration: "target.upstash"
	Name    string // of the wanted database
	Region  string
	Plan    Plan // the wanted one
	// Limits and Price are what those of Plan rest on before there is a database to ask, and
	// Connections what its number of connections does.
	Limits, Connections, Price Basis
	Can                        ManagedCan
}

// ManagedCan is what Switchyard can have a managed service do. What is false is refused.
type ManagedCan struct {
	Create       bool // a database, where there is none
	StopEviction bool // of a database that is there
}

// Plan is what a database may bear and what it costs. Sizes are in bytes, prices in US
// dollars.
type Plan struct {
	Name       string  `json:"name"`  // the service's own, such as fixed_1gb
	Title      string  `json:"title"` // for people, such as Fixed 1 GB
	MonthlyUSD float64 `json:"monthly_usd"`
	MaxBytes   int64   `json:"max_bytes"` // of data
	// BandwidthBytes is what a month may carry without further cost.
	BandwidthBytes int64 `json:"bandwidth_bytes"`
	// MonthlyCommands and the limits below are 0 where there is none.
	MonthlyCommands      int64 `json:"monthly_commands"`
	MaxCommandsPerSecond int64 `json:"max_commands_per_second"`
	MaxRequestBytes      int64 `json:"max_request_bytes"`
	MaxRecordBytes       int64 `json:"max_record_bytes"`
	MaxConnections       int64 `json:"max_connections"`
	// Metered plans are billed by use.
	Metered bool `json:"metered"`
}

// Found is what there is of the wanted database.
type Found struct {
	Exists   bool
	Database Database // when it exists
	// Fit says whether it is, or would be created, as wanted: plan, region, TLS,
	// eviction, each with what to do where it is not.
	Fit []migration.Gate
}

// States of a database. Services have more, and say them in their own words.
const (
	// StateActive: it answers and takes writes.
	StateActive = "active"
	// StateDeleted: it is gone.
	StateDeleted = "deleted"
)

// Database is one managed database.
type Database struct {
	ID, Name, Region, State string
	// Plan is the one it is on, with the limits that the database itself has. Its Name is
	// empty where the plan cannot be told.
	Plan Plan
	// PlanFits: it is on the wanted plan. PlanNote says from what that was told.
	PlanFits bool
	PlanNote string
	// ConnectionsTold: Plan.MaxConnections is the database's own figure, not the plan's.
	ConnectionsTold bool
	TLS, Eviction   bool
	// AutoUpgrade: a full database moves to a larger plan, and price, by itself.
	AutoUpgrade bool
	// SameName are the ids of other databases of that name, sorted.
	SameName []string
	Said     Said
}

// Said is what the parts of a Database rest on.
type Said struct {
	Plan   Basis // its name, and that it fits
	Limits Basis
	Price  Basis
	Region Basis
	Server Basis // its state, TLS, eviction
}

// Basis is what the evidence rests on that the database is as wanted.
func (s Said) Basis() Basis { return Weakest(s.Plan, s.Region, s.Server) }

// Access is what it takes to connect to a database.
type Access struct {
	URL    migration.Secret // redis:// or rediss://, with user and password
	CAFile string           // PEM, for a private certificate authority; empty: those of the system
	// From says, for people, where the URL is to be found; it holds no credential.
	From string
}

// Usage is what a month asks of a database.
type Usage struct {
	CommandsPerSecond    float64
	StoredBytes          int64
	MonthlyTransferBytes int64
}
