package store

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Account is an account, without its password's hash.
type Account struct {
	migration.Actor
	CreatedAt time.Time `json:"created_at"`
	// SignedIn is the last time that is in the audit log; absent: never.
	SignedIn *time.Time `json:"signed_in_at,omitempty"`
	// Seen is the last request of a session that still exists, to the minute; absent: there is
	// none.
	Seen *time.Time `json:"seen_at,omitempty"`
}

// Accounts lists the accounts by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	var rows []struct {
		Name, Role     string
		CreatedAt      int64
		SignedIn, Seen *int64
	}
	err := s.db.WithContext(ctx).Raw(`SELECT u.name, u.role, u.created_at,
		(SELECT max(at) FROM audit_log
			WHERE actor = u.name AND action = 'sign-in' AND result = 'ok') AS signed_in,
		(SELECT max(seen_at) FROM sessions WHERE user_name = u.name) AS seen
		FROM users u ORDER BY u.name`).Scan(&rows).Error
	out := make([]Account, len(rows))
	for i, r := range rows {
		out[i] = Account{
			Actor:     migration.Actor{Name: r.Name, Role: migration.Role(r.Role)},
			CreatedAt: fromMillis(r.CreatedAt), SignedIn: optional(r.SignedIn),
			Seen: optional(r.Seen),
		}
	}
	return out, err
}

// Known is a name in the audit log.
type Known struct {
	Name    string
	Entries int64
	Last    time.Time
}

// AuditNames lists the names in the audit log that hold a text, by name.
func (s *Store) AuditNames(ctx context.Context, part string, limit int) ([]Known, error) {
	var rows []struct {
		Actor   string
		Entries int64
		Last    int64
	}
	err := s.db.WithContext(ctx).Raw(`SELECT actor, count(*) AS entries, max(at) AS last
		FROM audit_log WHERE lower(actor) LIKE ? ESCAPE '!'
		GROUP BY actor ORDER BY actor LIMIT ?`, "%"+like(part)+"%", limit).Scan(&rows).Error
	out := make([]Known, len(rows))
	for i, r := range rows {
		out[i] = Known{r.Actor, r.Entries, fromMillis(r.Last)}
	}
	return out, err
}
