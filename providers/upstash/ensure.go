package upstash

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// EnsureOptions say how patient Ensure is, and who is told.
type EnsureOptions struct {
	// Looks is how often to look for what a request of unknown outcome may have done, and
	// for a new database to become active; Every is the time between. Zero: 10 times, every
	// 3 s.
	Looks int
	Every time.Duration
	// Found, if not nil, is told the database as soon as its id is known and before
	// anything else is done, so that it is on record whatever comes next. An error of it
	// ends Ensure.
	Found func(db Database, created bool) error
}

// Ensure sees to it that there is exactly one database of the wanted name, as wanted, and
// returns it without its password.
//
// The API has no idempotency key and does not promise that names are unique, so a create is
// never repeated blindly: one is looked for by name first, and again after a create whose
// outcome is unknown. When none appears in that time, nothing is created again either: the
// error says so, and the next call starts by looking. Two of the name are an error of kind
// Conflict with both ids.
//
// Eviction and automatic upgrades are switched off where they are on. What cannot be mended
// without asking (another plan, region, TLS off) is an error of kind Blocked, and the
// database stays as it is.
func (c *Client) Ensure(
	ctx context.Context,
	want CreateRequest,
	o EnsureOptions,
) (db Database, created bool, err error) {
	o.Looks, o.Every = cmp.Or(o.Looks, 10), cmp.Or(o.Every, 3*time.Second)
	db, found, err := c.FindByName(ctx, want.DatabaseName)
	if err != nil {
		return Database{}, false, err
	}
	if !found {
		if db, created, err = c.createOnce(ctx, want, o); err != nil {
			return Database{}, false, err
		}
	}
	db.Password = ""
	if o.Found != nil {
		if err := o.Found(db, created); err != nil {
			return db, created, err
		}
	}
	if db, err = c.awaitActive(ctx, db, o); err != nil {
		return db, created, err
	}
	// Somebody else may have created one meanwhile, or a create that was given up may have
	// come through.
	if _, _, err := c.FindByName(ctx, want.DatabaseName); err != nil {
		return db, created, err
	}
	if misfits := db.Misfits(want); len(misfits) > 0 {
		return db, created, migration.Errorf(
			migration.Blocked,
			"the database %s (%s) is not as wanted: %s. Mend it in the provider's console, or "+
				"rename it there; it was left as it is",
			db.Name,
			db.ID,
			strings.Join(misfits, "; "),
		)
	}
	if db.Eviction || db.DBEviction {
		if err := c.DisableEviction(ctx, db.ID); err != nil {
			return db, created, err
		}
	}
	if db.AutoUpgrade {
		if err := c.DisableAutoUpgrade(ctx, db.ID); err != nil {
			return db, created, err
		}
	}
	db, err = c.Get(ctx, db.ID, false)
	if err != nil {
		return db, created, err
	}
	if db.Eviction || db.DBEviction || db.AutoUpgrade {
		return db, created, migration.Errorf(
			migration.Unavailable,
			"the database %s (%s) still has eviction (%v) or automatic upgrades (%v) on after "+
				"they were switched off: try again",
			db.Name,
			db.ID,
			db.Eviction || db.DBEviction,
			db.AutoUpgrade,
		)
	}
	return db, created, nil
}

// Misfits names what cannot be mended without asking.
func (d Database) Misfits(want CreateRequest) []string {
	var out []string
	if name, why := d.PlanName(); name != want.Plan {
		out = append(
			out,
			fmt.Sprintf("its plan is %s, not %s (%s)", cmp.Or(name, "not known"), want.Plan, why),
		)
	}
	if d.PrimaryRegion != want.PrimaryRegion {
		out = append(
			out,
			fmt.Sprintf("its primary region is %s, not %s", d.PrimaryRegion, want.PrimaryRegion),
		)
	}
	if want.TLS && !d.TLS {
		out = append(out, "TLS is off")
	}
	return out
}

// createOnce sends one create, and looks for what it did when the answer does not tell.
func (c *Client) createOnce(
	ctx context.Context,
	want CreateRequest,
	o EnsureOptions,
) (db Database, created bool, err error) {
	db, err = c.Create(ctx, want)
	if err == nil {
		return db, true, nil
	}
	status := httpapi.Status(err)
	unknown := (status == 0 || status >= 500) && migration.KindOf(err) != migration.Invalid
	looks := 1 // a refusal may say that the name is taken since
	if unknown {
		looks = o.Looks
	}
	for i := range looks {
		if i > 0 || unknown {
			if waitErr := httpapi.Pause(ctx, o.Every); waitErr != nil {
				return Database{}, false, fmt.Errorf(
					"%w, and whether it exists was not found out: %w",
					err,
					waitErr,
				)
			}
		}
		found, there, findErr := c.FindByName(ctx, want.DatabaseName)
		switch {
		case migration.KindOf(findErr) == migration.Conflict && findErr != nil:
			return Database{}, false, findErr
		case findErr == nil && there:
			return found, unknown, nil
		}
	}
	if unknown {
		return Database{}, false, migration.Errorf(
			migration.Unavailable,
			"whether the database %s was created is not known: %w. In %d looks over %s none of "+
				"that name appeared. Run this again in a few minutes: it looks first, and adopts "+
				"it if it is there by then",
			want.DatabaseName,
			err,
			looks,
			time.Duration(looks)*o.Every,
		)
	}
	return Database{}, false, err
}

// awaitActive waits until the database is active and nothing is being changed on it.
func (c *Client) awaitActive(ctx context.Context, db Database, o EnsureOptions) (Database, error) {
	for i := range o.Looks {
		if i > 0 {
			if err := httpapi.Pause(ctx, o.Every); err != nil {
				return db, fmt.Errorf("database %s (%s) is %s: %w", db.Name, db.ID, db.State, err)
			}
		}
		now, err := c.Get(ctx, db.ID, false)
		switch {
		case httpapi.Status(err) == http.StatusNotFound && i < o.Looks-1: // a list and a read need not agree at once
		case httpapi.Status(err) == http.StatusNotFound:
			return db, migration.Errorf(
				migration.NotFound,
				"the database %s (%s) was there and is gone again: look in the provider's "+
					"console for the reason, then run this again",
				db.Name,
				db.ID,
			)
		case err != nil:
			return db, err
		case now.State == "active" && now.ModifyingState == "":
			return now, nil
		default:
			db = now
		}
	}
	return db, migration.Errorf(
		migration.Unavailable,
		"the database %s (%s) is %s%s, not active, after %s: look in the provider's console, then run this again",
		db.Name,
		db.ID,
		db.State,
		strings.TrimSuffix(" ("+db.ModifyingState+")", " ()"),
		time.Duration(o.Looks-1)*o.Every,
	)
}
