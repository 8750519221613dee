package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

type userRow struct {
	Name         string
	Role         string
	PasswordHash string
	CreatedAt    int64
}

func (userRow) TableName() string { return "users" }

// CreateUser stores an account; passwordHash is an encoded argon2id hash, never a
// password. Conflict when the name is taken.
func (s *Store) CreateUser(
	ctx context.Context, name string, role migration.Role, passwordHash string,
	at time.Time,
) error {
	err := s.db.WithContext(ctx).Create(&userRow{name, string(role), passwordHash,
		millis(at)}).Error
	if isUnique(err) {
		return migration.Errorf(migration.Conflict, "an account %q exists already", name)
	}
	return err
}

// User returns an account and its password hash, or NotFound.
func (s *Store) User(ctx context.Context, name string) (migration.Actor, string, error) {
	var r userRow
	if err := s.db.WithContext(ctx).Where("name = ?", name).Take(&r).Error; err != nil {
		return migration.Actor{}, "", missing(err, "there is no account %q", name)
	}
	return migration.Actor{Name: r.Name, Role: migration.Role(r.Role)}, r.PasswordHash, nil
}

// UserCount is how many accounts there are.
func (s *Store) UserCount(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.WithContext(ctx).Model(&userRow{}).Count(&n).Error
	return n, err
}

// hashToken: tokens are 256 random bits, so a plain digest is enough and a stolen
// database gives none away.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// CreateSession stores a session by the digest of its token.
func (s *Store) CreateSession(ctx context.Context, token, user string, at time.Time) error {
	return s.db.WithContext(ctx).Exec(
		"INSERT INTO sessions (token_hash, user_name, created_at, seen_at) VALUES (?,?,?,?)",
		hashToken(token), user, millis(at), millis(at)).Error
}

// Session returns whose session a token is, if it was created after since and used
// after idle; else Unauthenticated. It notes the use, at most once a minute.
func (s *Store) Session(
	ctx context.Context, token string, since, idle, now time.Time,
) (migration.Actor, error) {
	var r struct {
		Name, Role string
		SeenAt     int64
	}
	res := s.db.WithContext(ctx).
		Raw(`SELECT u.name, u.role, s.seen_at FROM sessions s JOIN users u ON u.name = s.user_name
		WHERE s.token_hash = ? AND s.created_at > ? AND s.seen_at > ?`, hashToken(token), millis(since), millis(idle)).
		Scan(&r)
	if res.Error != nil {
		return migration.Actor{}, res.Error
	}
	if res.RowsAffected == 0 {
		return migration.Actor{}, migration.Errorf(migration.Unauthenticated,
			"not signed in, or the session has ended: sign in again")
	}
	if now.Sub(fromMillis(r.SeenAt)) > time.Minute {
		if err := s.db.WithContext(ctx).Exec(
			"UPDATE sessions SET seen_at = ? WHERE token_hash = ?", millis(now),
			hashToken(token)).Error; err != nil {
			return migration.Actor{}, err
		}
	}
	return migration.Actor{Name: r.Name, Role: migration.Role(r.Role)}, nil
}

// DeleteSession ends a session; an unknown token is no error.
func (s *Store) DeleteSession(ctx context.Context, token string) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM sessions WHERE token_hash = ?",
		hashToken(token)).Error
}

// NoteSignInFailure counts a failed sign-in against a subject (an account or an
// address) and forgets those older than a day.
func (s *Store) NoteSignInFailure(ctx context.Context, subject string, at time.Time) error {
	db := s.db.WithContext(ctx)
	if err := db.Exec("DELETE FROM sign_in_failures WHERE at < ?",
		millis(at.Add(-24*time.Hour))).Error; err != nil {
		return err
	}
	return db.Exec("INSERT INTO sign_in_failures (subject, at) VALUES (?,?)", subject,
		millis(at)).Error
}

// SignInFailures counts a subject's failures since a time.
func (s *Store) SignInFailures(
	ctx context.Context, subject string, since time.Time,
) (int64, error) {
	var n int64
	err := s.db.WithContext(ctx).Raw(
		"SELECT count(*) FROM sign_in_failures WHERE subject = ? AND at > ?", subject,
		millis(since)).Scan(&n).Error
	return n, err
}

type auditRow struct {
	Seq     int64
	At      int64
	Actor   string
	Action  string
	Subject string
	Detail  string
	Result  string
	Hash    string
}

func (auditRow) TableName() string { return "audit_log" }

func (r auditRow) chain(previous string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%q\n%q\n%q\n%q\n%q", previous, r.At, r.Actor,
		r.Action, r.Subject, r.Detail, r.Result))
	return hex.EncodeToString(sum[:])
}

// AppendAudit adds a line to the audit log, chained by SHA-256 to the line before, so
// that a change of an old line shows in VerifyAudit.
func (s *Store) AppendAudit(ctx context.Context, e migration.AuditEntry) error {
	r := auditRow{
		At:      millis(e.At),
		Actor:   text(e.Actor),
		Action:  text(e.Action),
		Subject: text(e.Subject),
		Detail:  text(e.Detail),
		Result:  e.Result,
	}
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := s.onlyOne(tx, lockAudit); err != nil {
			return err
		}
		var previous string
		if err := tx.Raw(
			"SELECT coalesce((SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1), '')").
			Scan(&previous).Error; err != nil {
			return err
		}
		return tx.Exec("INSERT INTO audit_log (at, actor, action, subject, detail, result, "+
			"hash) VALUES (?,?,?,?,?,?,?)",
			r.At, r.Actor, r.Action, r.Subject, r.Detail, r.Result, r.chain(previous)).Error
	})
}

// AuditFilter says which lines of the audit log; empty fields are any.
type AuditFilter struct {
	Before  int64 // sequence number to continue before; 0: from the end
	Actor   string
	Action  string
	Subject string // a part of the subject or of the detail
	Result  string
	Since   time.Time
	Until   time.Time // not included
	Limit   int
}

// Audit lists lines of the audit log, newest first.
func (s *Store) Audit(ctx context.Context, f AuditFilter) ([]migration.AuditEntry, error) {
	q := s.db.WithContext(ctx).Order("seq DESC").Limit(f.Limit)
	if f.Before > 0 {
		q = q.Where("seq < ?", f.Before)
	}
	for column, v := range map[string]string{
		"actor": f.Actor, "action": f.Action, "result": f.Result,
	} {
		if v != "" {
			q = q.Where(column+" = ?", text(v))
		}
	}
	if f.Subject != "" {
		about := "%" + like(f.Subject) + "%"
		q = q.Where("(lower(subject) LIKE ? ESCAPE '!' OR lower(detail) LIKE ? ESCAPE '!')",
			about, about)
	}
	if !f.Since.IsZero() {
		q = q.Where("at >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		q = q.Where("at < ?", millis(f.Until))
	}
	var rows []auditRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.AuditEntry, 0, len(rows))
	for _, r := range rows {
		out = append(out, migration.AuditEntry{
			Seq:     r.Seq,
			At:      fromMillis(r.At),
			Actor:   r.Actor,
			Action:  r.Action,
			Subject: r.Subject,
			Detail:  r.Detail,
			Result:  r.Result,
			Hash:    r.Hash,
		})
	}
	return out, nil
}

// VerifyAudit recomputes the chain of hashes and names the first line that does not fit.
func (s *Store) VerifyAudit(ctx context.Context) error {
	rows, err := s.db.WithContext(ctx).Model(&auditRow{}).Order("seq").Rows()
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	previous := ""
	for rows.Next() {
		var r auditRow
		if err := s.db.ScanRows(rows, &r); err != nil {
			return err
		}
		if r.Hash != r.chain(previous) {
			return migration.Errorf(migration.Conflict,
				"the audit log was changed at line %d", r.Seq)
		}
		previous = r.Hash
	}
	return rows.Err()
}
