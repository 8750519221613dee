package upstash

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// Managed is Upstash as the managed service of a migration: one database of the wanted
// name, created or adopted. It implements providers.Managed.
type Managed struct {
	// Client talks to the account.
	Client *Client
	// Want is the database that is wanted.
	Want CreateRequest
	// CAFile is for a private certificate authority, as a stand-in has; empty: those of
	// the system.
	CAFile string
	// Looks and Every are how patient Ensure is; see EnsureOptions.
	Looks int
	Every time.Duration
}

// configKey is where the configuration names this service.
const configKey = "target.upstash"

var (
	byAPI     = providers.Basis{Proof: migration.Observed, Source: "developer API"}
	priceList = providers.Basis{
		Proof: migration.Documented, Source: "vendor's price list of " + PricedAt,
	}
	byDocument = providers.Basis{
		Proof: migration.Documented, Source: "the example in the API's document",
	}
)

// Offer implements providers.Managed.
func (m *Managed) Offer() providers.Offer {
	return providers.Offer{
		Service: "Upstash", Key: configKey, Name: m.Want.DatabaseName, Region: m.Want.PrimaryRegion,
		Plan: m.wanted(), Limits: priceList, Connections: byDocument, Price: priceList,
		Can: providers.ManagedCan{Create: true, StopEviction: true},
	}
}

// wanted is the plan that is asked for. One that the price list does not have has its
// name alone.
func (m *Managed) wanted() Plan {
	if p, ok := PlanOf(m.Want.Plan); ok {
		return p
	}
	return Plan{Name: m.Want.Plan, Title: m.Want.Plan}
}

// account refuses to ask the API without credentials: its answer would not say what to
// do.
func (m *Managed) account() error {
	if m.Client.api.Email != "" && !m.Client.api.Key.IsZero() {
		return nil
	}
	return migration.Errorf(migration.Blocked, "no account at Upstash is configured: set "+
		"target.upstash.email and api_key, or target.url for a database that exists elsewhere")
}

// Find implements providers.Managed.
func (m *Managed) Find(ctx context.Context) (providers.Found, error) {
	if err := m.account(); err != nil {
		return providers.Found{}, err
	}
	db, exists, err := m.Client.FindByName(ctx, m.Want.DatabaseName)
	if err != nil {
		return providers.Found{}, providers.Unanswered(err)
	}
	out := providers.Found{Exists: exists, Fit: m.fit(nil)}
	if exists {
		out.Database, out.Fit = m.database(db), m.fit(&db)
	}
	return out, nil
}

// Ensure implements providers.Managed; what it does and does not is said at
// Client.Ensure.
func (m *Managed) Ensure(
	ctx context.Context, found func(db providers.Database, created bool) error,
) (providers.Database, bool, error) {
	if err := m.account(); err != nil {
		return providers.Database{}, false, err
	}
	o := EnsureOptions{Looks: m.Looks, Every: m.Every}
	if found != nil {
		o.Found = func(db Database, created bool) error { return found(m.database(db), created) }
	}
	db, created, err := m.Client.Ensure(ctx, m.Want, o)
	if err != nil {
		return m.database(db), created, providers.Unanswered(err)
	}
	return m.database(db), created, nil
}

// Describe implements providers.Managed.
func (m *Managed) Describe(ctx context.Context, id string) (providers.Database, error) {
	if err := m.account(); err != nil {
		return providers.Database{}, err
	}
	all, err := m.Client.List(ctx)
	if err != nil {
		return providers.Database{}, providers.Unanswered(err)
	}
	var db Database
	if i := slices.IndexFunc(all, func(d Database) bool { return d.ID == id }); i >= 0 {
		db = all[i]
	} else if db, err = m.Client.Get(ctx, id, false); httpapi.Status(err) == http.StatusNotFound {
		said := providers.Said{Plan: byAPI, Limits: priceList, Price: priceList, Region: byAPI,
			Server: byAPI}
		return providers.Database{ID: id, Name: m.Want.DatabaseName, State: providers.StateDeleted,
			PlanNote: "it is gone", Said: said}, nil
	} else if err != nil { // a list and a read need not agree at once
		return providers.Database{}, providers.Unanswered(err)
	}
	out := m.database(db)
	for _, other := range Named(all, db.Name) {
		if other.ID != id {
			out.SameName = append(out.SameName, other.ID)
		}
	}
	slices.Sort(out.SameName)
	return out, nil
}

// Access implements providers.Managed.
func (m *Managed) Access(ctx context.Context, id string) (providers.Access, error) {
	if err := m.account(); err != nil {
		return providers.Access{}, err
	}
	db, err := m.Client.Get(ctx, id, true)
	if err != nil {
		return providers.Access{}, providers.Unanswered(err)
	}
	return providers.Access{URL: db.URL(), CAFile: m.CAFile,
		From: fmt.Sprintf("the URL of the database %s in Upstash's console", db.Name)}, nil
}

// MeteredUSD implements providers.Managed: it is the bill of pay-as-you-go.
func (m *Managed) MeteredUSD(u providers.Usage) (float64, bool) {
	return PayAsYouGoMonthly(u.CommandsPerSecond, u.StoredBytes, u.MonthlyTransferBytes), true
}

// database says what an API's answer comes to. Limits are the database's own where it has
// them.
func (m *Managed) database(db Database) providers.Database {
	name, why := db.PlanName()
	p, known := PlanOf(name)
	limits := byAPI
	if !known {
		p = Plan{}
	}
	p.MaxBytes = cmp.Or(db.DiskThreshold, p.MaxBytes)
	p.MaxConnections = cmp.Or(db.MaxClients, p.MaxConnections)
	p.MaxCommandsPerSecond = cmp.Or(db.CommandsPerSecond, p.MaxCommandsPerSecond)
	p.MaxRequestBytes = cmp.Or(db.MaxRequestSize, p.MaxRequestBytes)
	p.MaxRecordBytes = cmp.Or(db.MaxEntrySize, p.MaxRecordBytes)
	if db.DiskThreshold == 0 || db.MaxClients == 0 || db.CommandsPerSecond == 0 ||
		db.MaxRequestSize == 0 || db.MaxEntrySize == 0 {
		limits = providers.Weakest(byAPI, priceList)
	}
	return providers.Database{
		ID: db.ID, Name: db.Name, Region: db.PrimaryRegion, State: db.State,
		Plan: p, PlanFits: name == m.Want.Plan, PlanNote: why, ConnectionsTold: db.MaxClients > 0,
		TLS: db.TLS, Eviction: db.Eviction || db.DBEviction, AutoUpgrade: db.AutoUpgrade,
		Said: providers.Said{
			Plan: byAPI, Limits: limits, Price: priceList, Region: byAPI, Server: byAPI,
		},
	}
}

// fit says whether the database that is there, or would be created, is as wanted. db is
// nil when there is none.
func (m *Managed) fit(db *Database) []migration.Gate {
	want := m.wanted()
	known := Regions(m.Want.Platform)
	plan := migration.Claim{ID: "plan", Title: "The plan is " + want.Title,
		Limit: want.Title + ", not pay-as-you-go: BullMQ polls even when idle, and every poll is " +
			"billed",
		Measured: "is created on " + want.Title}
	region := migration.Claim{ID: "region", Title: "The region is the wanted one",
		Measured: m.Want.Platform + " " + m.Want.PrimaryRegion,
		Limit:    "a region of the provider, and the configured one",
		Next:     "set target.upstash.primary_region to one of: " + strings.Join(known, ", ")}
	tls := migration.Claim{ID: "tls", Title: "TLS is on", Measured: "is created with TLS",
		Limit: "on"}
	eviction := migration.Claim{ID: "eviction", Title: "Eviction is off",
		Measured: "is created without eviction", Limit: "off, or switched off by this step"}
	name, fits, there, encrypted := m.Want.DatabaseName, true,
		slices.Contains(known, m.Want.PrimaryRegion), true
	if known == nil {
		region.Next = "set target.upstash.platform to aws or gcp, and primary_region to one of " +
			"its regions"
	}
	if db != nil {
		name, encrypted = db.Name, db.TLS
		is, why := db.PlanName()
		if fits = is == m.Want.Plan; fits {
			plan.Measured = want.Title + ": " + why
		} else {
			title := "not known"
			if p, ok := PlanOf(is); ok {
				title = p.Title
			}
			plan.Measured = fmt.Sprintf("%s is on plan %s (%s)", db.Name, title, why)
			plan.Next = fmt.Sprintf("change its plan to %s in the provider's console, or set "+
				"target.upstash.database_name to a name that does not exist yet", want.Title)
		}
		if there && db.PrimaryRegion != m.Want.PrimaryRegion {
			there = false
			region.Measured = fmt.Sprintf("%s is in %s, %s is configured", db.Name,
				db.PrimaryRegion, m.Want.PrimaryRegion)
			region.Next = "set target.upstash.primary_region to the database's, or " +
				"database_name to another database"
		}
		if tls.Measured = "on"; !encrypted {
			tls.Measured = db.Name + " has it off"
			tls.Next = "switch TLS on in the provider's console"
		}
		if eviction.Measured = "off"; db.Eviction || db.DBEviction {
			eviction.Measured = "on: this step switches it off"
		}
	}
	of := func(c migration.Claim, holds bool) migration.Gate {
		return c.About("database", name, holds, nil)
	}
	return []migration.Gate{
		of(plan, fits), of(region, there), of(tls, encrypted), of(eviction, true),
	}
}
