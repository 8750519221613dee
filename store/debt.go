package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

type debtRow struct {
	ID          int64
	MigrationID string
	RunID       string
	Kind        string
	Server      string
	ServerRun   string
	What        string
	BeforeValue string
	SetValue    string
	Peers       string
	Since       int64
	Held        string
	TriedAt     *int64
	// of the run
	Step       string
	FinishedAt *int64
}

// Owe writes a debt down. One that is owed already is this run's from now on, and keeps what
// was there before and since when.
func (s *Store) Owe(ctx context.Context, d migration.Debt) error {
	peers, err := toJSON(d.Peers)
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec("INSERT INTO debts (migration_id, run_id, kind, server, "+
		"server_run, what, before_value, set_value, peers, since) "+
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (migration_id, kind, server, what) DO UPDATE SET run_id = excluded.run_id, "+
		"server_run = excluded.server_run, set_value = excluded.set_value, "+
		"peers = excluded.peers, held = '', tried_at = NULL",
		d.MigrationID, d.Run, string(d.Kind), text(d.Server), text(d.ServerRun), text(d.What),
		text(d.Before), text(d.Set), text(peers), millis(d.Since)).Error
}

// Debts lists what a migration's runs owe, oldest first.
func (s *Store) Debts(ctx context.Context, mid string) ([]migration.Debt, error) {
	var rows []debtRow
	err := s.db.WithContext(ctx).Table("debts").
		Select("debts.*, runs.step, runs.finished_at").
		Joins("JOIN runs ON runs.id = debts.run_id").
		Where("debts.migration_id = ?", mid).Order("debts.id").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	out := make([]migration.Debt, len(rows))
	for i, r := range rows {
		out[i] = migration.Debt{ID: r.ID, MigrationID: r.MigrationID, Run: r.RunID, Step: r.Step,
			Kind: migration.DebtKind(r.Kind), Server: r.Server, ServerRun: r.ServerRun,
			What: r.What, Before: r.BeforeValue, Set: r.SetValue, Since: fromMillis(r.Since),
			Held: r.Held, TriedAt: optional(r.TriedAt), Open: r.FinishedAt == nil}
		if err := json.Unmarshal([]byte(r.Peers), &out[i].Peers); err != nil {
			return nil, fmt.Errorf("peers of debt %d: %w", r.ID, err)
		}
	}
	return out, nil
}

// Debt gives one debt of a migration. NotFound: it is struck out, or never was.
func (s *Store) Debt(ctx context.Context, mid string, id int64) (migration.Debt, error) {
	all, err := s.Debts(ctx, mid)
	if err != nil {
		return migration.Debt{}, err
	}
	for _, d := range all {
		if d.ID == id {
			return d, nil
		}
	}
	return migration.Debt{}, migration.Errorf(migration.NotFound, "there is no debt %d", id)
}

// Paid strikes out what is owed of a kind on a server. Nothing of it is no error.
func (s *Store) Paid(
	ctx context.Context, mid string, kind migration.DebtKind, server, what string,
) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM debts WHERE migration_id = ? AND kind = ? "+
		"AND server = ? AND what = ?", mid, string(kind), text(server), text(what)).Error
}

// asRead is a debt as it was read: one that a run has taken over since is another.
const asRead = " WHERE id = ? AND run_id = ? AND set_value = ?"

// StrikeOut strikes out a debt as it was read.
func (s *Store) StrikeOut(ctx context.Context, d migration.Debt) error {
	return s.db.WithContext(ctx).
		Exec("DELETE FROM debts"+asRead, d.ID, d.Run, text(d.Set)).Error
}

// HoldDebt notes why a debt, as it was read, could not be lifted.
func (s *Store) HoldDebt(ctx context.Context, d migration.Debt, why string, at time.Time) error {
	return s.db.WithContext(ctx).Exec("UPDATE debts SET held = ?, tried_at = ?"+asRead,
		text(why), millis(at), d.ID, d.Run, text(d.Set)).Error
}
