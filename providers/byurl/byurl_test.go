package byurl_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byurl"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

const password = "managed-CANARY"

func of[T any](v T) *T { return &v }

// settings are of a database whose owner says that it takes a gigabyte and any number of
// the rest.
func settings(srv *redistest.Server, change func(*byurl.Settings)) byurl.Settings {
	s := byurl.Settings{
		URL:    migration.Secret(fmt.Sprintf("rediss://:%s@%s:%d", password, srv.Host, srv.Port)),
		CAFile: srv.CAFile,
		Plan: byurl.Plan{Service: "Acme", Title: "Fixed 1 GB", Region: "us-east-1",
			MonthlyUSD: of(15.0), MaxBytes: of(int64(1 << 30)), MaxConnections: of(int64(0)),
			MaxCommandsPerSecond: of(int64(0)), MaxRequestBytes: of(int64(0)),
			MaxRecordBytes: of(int64(0)), BandwidthBytes: of(int64(0))},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func ensure(t *testing.T, s byurl.Settings) (providers.Database, error) {
	t.Helper()
	db, created, err := byurl.Open(s).Ensure(t.Context(), nil)
	if created {
		t.Error("it says that it created a database")
	}
	if err != nil && strings.Contains(err.Error(), password) {
		t.Errorf("the password is in %v", err)
	}
	return db, err
}

func TestARealRedisOverTLSIsAdoptedAsItIs(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.TLS(), redistest.Password(password),
		redistest.Config("maxmemory 512mb", "maxclients 500"))
	db, err := ensure(t, settings(srv, nil))
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("%s:%d", srv.Host, srv.Port)
	if db.ID != address || db.State != providers.StateActive || !db.TLS || db.Eviction ||
		!db.PlanFits {
		t.Errorf("%+v", db)
	}
	// What the server says goes before what its owner says, where it is less.
	if db.Plan.MaxBytes != 512<<20 || db.Plan.MaxConnections != 500 || !db.ConnectionsTold ||
		db.Plan.MonthlyUSD != 15 || !strings.Contains(db.PlanNote, "maxmemory 536870912") {
		t.Errorf("limits %+v (%s)", db.Plan, db.PlanNote)
	}
	if b := db.Said.Basis(); b.Proof != migration.Attested ||
		b.Source != "target.plan in the configuration; INFO of the server" {
		t.Errorf("it rests on %+v", b)
	}
	if db.Said.Server.Proof != migration.Observed {
		t.Errorf("the server's state is %s", db.Said.Server.Proof)
	}
}

func TestWhatARealRedisSaysIsHeldAgainstIt(t *testing.T) {
	t.Parallel()
	plain := []redistest.Option{redistest.TLS(), redistest.Password(password)}
	evicting := append(plain[:2:2], redistest.Config("maxmemory-policy allkeys-lru"))
	replica := append(plain[:2:2], redistest.Config("replicaof 127.0.0.1 1"))
	quiet := append(plain[:2:2], redistest.Config("rename-command INFO \"\""))
	for rule, c := range map[string]struct {
		server []redistest.Option
		change func(*byurl.Settings)
		kind   migration.Kind
		want   string
	}{
		"it evicts":     {evicting, nil, migration.Blocked, "Eviction is off: on"},
		"it replicates": {replica, nil, migration.Blocked, "a replica, which takes no writes"},
		"its plan is billed by use": {plain, func(s *byurl.Settings) { s.Plan.Metered = of(true) },
			migration.Blocked, "The plan has a fixed price"},
		"its authority is not trusted": {plain, func(s *byurl.Settings) { s.CAFile = "" },
			migration.Unavailable, "not trusted"},
		"another password": {plain, func(s *byurl.Settings) {
			s.URL = migration.Secret(strings.Replace(s.URL.Reveal(), password, "wrong-CANARY", 1))
		}, migration.Unavailable, "wrong password"},
		"without TLS": {plain, func(s *byurl.Settings) {
			s.URL = migration.Secret(strings.Replace(s.URL.Reveal(), "rediss", "redis", 1))
		}, migration.Unavailable, "Redis"},
		"it says nothing of itself": {quiet, nil, migration.Unavailable, "INFO"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, c.server...)
			_, err := ensure(t, settings(srv, c.change))
			if migration.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s with %q", migration.KindOf(err), err, c.kind, c.want)
			}
		})
	}
}

func TestAChangedURLIsNotTakenForTheTarget(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.TLS(), redistest.Password(password))
	m := byurl.Open(settings(srv, nil))
	_, err := m.Describe(context.Background(), "elsewhere:6379")
	if migration.KindOf(err) != migration.Conflict ||
		!strings.Contains(err.Error(), "elsewhere:6379") ||
		!strings.Contains(err.Error(), m.Offer().Name) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsKnownOfAServiceIsNeverShownAsObservedOrAttested(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.TLS(), redistest.Password(password))
	s := settings(srv, func(s *byurl.Settings) {
		s.Plan = byurl.Plan{Known: "redis-cloud/essentials-1gb-replicated", Region: "us-east-1",
			MonthlyUSD: of(22.0), MaxRequestBytes: of(int64(0)), MaxRecordBytes: of(int64(0))}
	})
	db, err := ensure(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if db.Plan.Title != "Essentials 1 GB, replicated" || db.Plan.MaxBytes != 500e6 ||
		db.Plan.MaxCommandsPerSecond != 2000 || db.Plan.MonthlyUSD != 22 {
		t.Errorf("%+v", db.Plan)
	}
	const page = "target.plan in the configuration; Redis Cloud's documentation of 2025-12 (https://"
	for what, b := range map[string]providers.Basis{
		"the database": db.Said.Basis(), "its plan": db.Said.Plan, "its limits": db.Said.Limits,
	} {
		if b.Proof != migration.Documented || !strings.HasPrefix(b.Source, page) ||
			strings.Count(b.Source, "target.plan") != 1 {
			t.Errorf("%s is %s by %s", what, b.Proof, b.Source)
		}
	}
	if db.Said.Price.Proof != migration.Attested || db.Said.Server.Proof != migration.Observed {
		t.Errorf("%+v", db.Said)
	}
	o := byurl.Open(s).Offer()
	if o.Service != "Redis Cloud" || o.Limits.Proof != migration.Documented ||
		o.Price.Proof != migration.Attested {
		t.Errorf("%+v", o)
	}
	s.Plan.Known, s.Plan.MonthlyUSD = "upstash/pay-as-you-go", nil
	if _, err := ensure(t, s); migration.KindOf(err) != migration.Blocked ||
		!strings.Contains(err.Error(), "The plan has a fixed price") {
		t.Errorf("a known plan that is billed by use: %v", err)
	}
}
