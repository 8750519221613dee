// Package byurl is a managed Redis whose owner made it and gave its URL. Nothing is
// created, changed or deleted there. What its plan is comes from the configuration and is
// attested, or from the vendor's documentation of a known plan; whether it answers, over
// which TLS, with which eviction policy and how much memory, the server itself says.
package byurl

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Managed is the database at a URL. It implements providers.Managed.
type Managed struct {
	settings Settings
	plan     Plan // with what is known of it
	by       said
}

// Open takes the settings, which Check has found nothing wrong with.
func Open(s Settings) *Managed {
	plan, by := s.Plan.whole()
	return &Managed{s, plan, by}
}

// configKey is where the configuration has the URL, planKey what its owner says of it.
const (
	configKey = "target.url"
	planKey   = "target.plan"
)

var (
	byOwner  = providers.Basis{Proof: migration.Attested, Source: planKey + " in the configuration"}
	byServer = providers.Basis{Proof: migration.Observed, Source: "INFO of the server"}
)

func (m *Managed) endpoint() redisconn.Endpoint {
	return redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: m.settings.URL,
		CAFile: m.settings.CAFile}
}

// address is host:port, and the database's id: there is no other name of it that lasts.
func (m *Managed) address() string { return m.endpoint().Address() }

// Offer implements providers.Managed.
func (m *Managed) Offer() providers.Offer {
	p := m.plan
	return providers.Offer{
		Service: cmp.Or(p.Service, "Redis"), Key: configKey, Name: m.address(), Region: p.Region,
		Plan: p.offered(), Limits: m.by.limits, Connections: m.by.connections, Price: m.by.price,
	}
}

// Find implements providers.Managed. A database that does not answer is an error, not one
// that does not exist: nobody but its owner can tell the two apart.
func (m *Managed) Find(ctx context.Context) (providers.Found, error) {
	db, err := m.look(ctx)
	if err != nil {
		return providers.Found{}, err
	}
	return providers.Found{Exists: true, Database: db, Fit: m.fit(db)}, nil
}

// Ensure implements providers.Managed. It adopts the database, when it answers and is as
// wanted.
func (m *Managed) Ensure(
	ctx context.Context, found func(db providers.Database, created bool) error,
) (providers.Database, bool, error) {
	db, err := m.look(ctx)
	if err != nil {
		return providers.Database{}, false, fmt.Errorf("%w; %w", err, providers.Refused(
			providers.ErrUnsupported,
			"Switchyard creates no database at a URL: if there is none at %s "+
				"yet, make one at its service, and set %s to its URL",
			m.address(),
			configKey,
		))
	}
	if found != nil {
		if err := found(db, false); err != nil {
			return db, false, err
		}
	}
	var bad []string
	for _, g := range migration.Failing(m.fit(db)) {
		bad = append(bad, fmt.Sprintf("%s: %s (%s)", g.Title, g.Measured, g.Next))
	}
	if len(bad) > 0 {
		return db, false, providers.Refused(providers.ErrUnsupported,
			"the database at %s is not as wanted, and Switchyard changes nothing at a URL: %s",
			db.ID, strings.Join(bad, "; "))
	}
	return db, false, nil
}

// Describe implements providers.Managed.
func (m *Managed) Describe(ctx context.Context, id string) (providers.Database, error) {
	if err := m.same(id); err != nil {
		return providers.Database{}, err
	}
	return m.look(ctx)
}

// Access implements providers.Managed.
func (m *Managed) Access(_ context.Context, id string) (providers.Access, error) {
	if err := m.same(id); err != nil {
		return providers.Access{}, err
	}
	return providers.Access{URL: m.settings.URL, CAFile: m.settings.CAFile,
		From: "the URL of " + configKey + " in Switchyard's configuration"}, nil
}

// MeteredUSD implements providers.Managed: nobody knows what its service would bill by
// use.
func (m *Managed) MeteredUSD(providers.Usage) (float64, bool) { return 0, false }

// same refuses to take one database for another after the URL was changed.
func (m *Managed) same(id string) error {
	if now := m.address(); id != now {
		return migration.Errorf(
			migration.Conflict,
			"the target is the database at %s, and %s names "+
				"%s: set it back, or run the step Provision the managed Redis again",
			id,
			configKey,
			now,
		)
	}
	return nil
}

// look asks the server itself.
func (m *Managed) look(ctx context.Context) (providers.Database, error) {
	info, err := m.info(ctx)
	if err != nil {
		return providers.Database{}, migration.Errorf(migration.Unavailable, "%s: %w", m.address(),
			err)
	}
	said := m.plan
	db := providers.Database{
		ID: m.address(), Name: m.address(), Region: said.Region, State: providers.StateActive,
		Plan: said.offered(), PlanFits: !value(said.Metered),
		PlanNote: fmt.Sprintf("%s says %s", planKey, cmp.Or(said.Known, said.Title)),
		TLS:      m.endpoint().TLS(), // and verified, or there were no answer
		Said: providers.Said{
			Plan: m.by.plan, Limits: m.by.limits, Price: m.by.price, Region: byOwner,
			Server: byServer,
		},
	}
	switch {
	case info["loading"] == "1":
		db.State = "loading its data"
	case info["role"] == "slave":
		db.State = "a replica, which takes no writes"
	}
	if db.Eviction, db.Said.Server, err = m.evicts(info); err != nil {
		return providers.Database{}, err
	}
	m.limit(&db, info)
	return db, nil
}

// info reads INFO over a connection of its own, so that a certificate that is not trusted
// any more is noticed.
func (m *Managed) info(ctx context.Context) (map[string]string, error) {
	c, err := redisconn.Open(m.endpoint())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	text, err := c.Info(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("INFO: %w", redisconn.Explain(err))
	}
	return redisconn.ParseInfo(text), nil
}

// evicts says whether the server drops keys when it is full: by its own word, or by that
// of target.plan where it says nothing.
func (m *Managed) evicts(info map[string]string) (bool, providers.Basis, error) {
	if p := info["maxmemory_policy"]; p != "" {
		return p != "noeviction", byServer, nil
	}
	if p := m.plan.Eviction; p != nil {
		return *p, providers.Weakest(byServer, m.by.eviction), nil
	}
	return false, providers.Basis{}, migration.Errorf(migration.Blocked, "%s does not say its "+
		"eviction policy (INFO has no maxmemory_policy): set %s.eviction to what its owner says, "+
		"false for noeviction", m.address(), planKey)
}

// limit lowers what target.plan says to what the server says, where that is less.
func (m *Managed) limit(db *providers.Database, info map[string]string) {
	for _, l := range []struct {
		field string
		limit *int64
	}{{"maxmemory", &db.Plan.MaxBytes}, {"maxclients", &db.Plan.MaxConnections}} {
		n, err := strconv.ParseInt(info[l.field], 10, 64)
		if err != nil || n <= 0 { // not told, or no limit
			continue
		}
		db.ConnectionsTold = db.ConnectionsTold || l.field == "maxclients"
		db.Said.Limits = providers.Weakest(m.by.limits, byServer)
		if *l.limit == 0 || n < *l.limit {
			*l.limit = n
			db.PlanNote += fmt.Sprintf("; the server says %s %d", l.field, n)
		}
	}
}

// fit says whether the database is as wanted.
func (m *Managed) fit(db providers.Database) []migration.Gate {
	gate := func(id, title string, ok bool, measured, limit, next string) migration.Gate {
		return migration.Claim{ID: id, Title: title, Measured: measured, Limit: limit, Next: next}.
			About("database", db.Name, ok, nil)
	}
	on := map[bool]string{true: "on", false: "off"}
	plan := gate("plan", "The plan has a fixed price", db.PlanFits, db.PlanNote,
		"not billed by use: BullMQ polls even when idle, and every poll is billed",
		"move the database to a plan with a fixed price, and correct "+planKey)
	tls := gate("tls", "TLS is on", db.TLS, on[db.TLS], "on, with a certificate that is verified",
		"have its owner switch TLS on, and set "+configKey+" to its rediss:// URL")
	eviction := gate("eviction", "Eviction is off", !db.Eviction, on[db.Eviction],
		"off; Switchyard cannot switch it off there",
		"have its owner set maxmemory-policy to noeviction")
	state := gate("state", "The database takes writes", db.State == providers.StateActive, db.State,
		providers.StateActive,
		"set "+configKey+" to the URL of the primary, and wait until it answers")
	return []migration.Gate{plan, tls, eviction, state}
}
