package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

// JournalRow is one thing of the record of orders, by its key; Body is the JSON of whoever
// saved it.
type JournalRow struct{ Key, Body string }

// JournalMinute are the counters of the orders of one minute.
type JournalMinute struct {
	Start int64 // unix ms
	Body  string
}

// JournalState is what changed of the record of orders, or all that a restart goes on from.
type JournalState struct {
	// Generation counts the saves: a state is saved over that which it came from.
	Generation int64
	Body       string
	Epochs     []JournalRow // by the journal's name
	Orders     []JournalRow // those that are not in order, by their ids
	Gone       []string     // orders that have no row any more
	Minutes    []JournalMinute
	// Known and KnownJobs are hashes of orders in order, and of their jobs, with a minute.
	Known, KnownJobs [][2]int64
}

// SaveJournal saves a change in one transaction, and gives its generation. Conflict: another
// replica has saved meanwhile. All but the newest keep hashes are forgotten, roughly.
func (s *Store) SaveJournal(ctx context.Context, c JournalState, keep int) (int64, error) {
	err := s.transact(ctx, func(tx *gorm.DB) error {
		res := tx.Exec(`UPDATE journal_state SET generation = generation + 1, body = ?
			WHERE generation = ?`, c.Body, c.Generation)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return migration.Errorf(migration.Conflict, "another replica has saved the record "+
				"of orders")
		}
		for _, t := range []struct {
			into, key string
			rows      []JournalRow
		}{{"journal_epochs", "epoch", c.Epochs}, {"journal_orders", "order_id", c.Orders}} {
			for some := range slices.Chunk(t.rows, rowsAtOnce) {
				var args []any
				for _, r := range some {
					args = append(args, text(r.Key), r.Body)
				}
				if err := upsert(tx, t.into, t.key, len(some), args); err != nil {
					return err
				}
			}
		}
		for some := range slices.Chunk(c.Minutes, rowsAtOnce) {
			var args []any
			for _, m := range some {
				args = append(args, m.Start, m.Body)
			}
			if err := upsert(tx, "journal_minutes", "start", len(some), args); err != nil {
				return err
			}
		}
		for some := range slices.Chunk(c.Gone, rowsAtOnce) {
			args := make([]any, len(some))
			for i, id := range some {
				args[i] = text(id)
			}
			if err := tx.Exec(`DELETE FROM journal_orders WHERE order_id IN (?`+
				strings.Repeat(", ?", len(some)-1)+`)`, args...).Error; err != nil {
				return err
			}
		}
		if err := saveKnown(tx, "order", c.Known, keep); err != nil {
			return err
		}
		return saveKnown(tx, "job", c.KnownJobs, keep)
	})
	return c.Generation + 1, s.failure(err)
}

// upsert writes n rows of a key and a body over what is there.
func upsert(tx *gorm.DB, into, key string, n int, args []any) error {
	return tx.Exec(`INSERT INTO `+into+` (`+key+`, body) VALUES (?, ?)`+
		strings.Repeat(", (?, ?)", n-1)+` ON CONFLICT (`+key+`) DO UPDATE SET
		body = excluded.body`, args...).Error
}

func saveKnown(tx *gorm.DB, kind string, pairs [][2]int64, keep int) error {
	if len(pairs) == 0 {
		return nil
	}
	raw := make([]byte, 0, 16*len(pairs))
	for _, p := range pairs {
		raw = binary.BigEndian.AppendUint64(raw, uint64(p[0])) //nolint:gosec // as it is
		raw = binary.BigEndian.AppendUint64(raw, uint64(p[1])) //nolint:gosec // as it is
	}
	if err := tx.Exec(`INSERT INTO journal_known (kind, n, pairs) VALUES (?, ?, ?)`, kind,
		len(pairs), raw).Error; err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM journal_known WHERE kind = ? AND seq IN (
		SELECT seq FROM (SELECT seq, SUM(n) OVER (ORDER BY seq DESC) - n AS newer
			FROM journal_known WHERE kind = ?) AS counted WHERE newer >= ?)`,
		kind, kind, keep).Error
}

// LoadJournal gives what a restart goes on from, as of one generation.
func (s *Store) LoadJournal(ctx context.Context) (c JournalState, err error) {
	for {
		if c, err = s.loadJournal(ctx); err != nil {
			return c, s.failure(err)
		}
		now, err := heads(s.db.WithContext(ctx))
		if err != nil || now.Generation == c.Generation {
			return c, s.failure(err)
		}
	}
}

func (s *Store) loadJournal(ctx context.Context) (JournalState, error) {
	db := s.db.WithContext(ctx)
	c, err := heads(db)
	if err != nil {
		return c, err
	}
	if err := db.Raw(`SELECT order_id AS key, body FROM journal_orders`).
		Scan(&c.Orders).Error; err != nil {
		return c, err
	}
	if err := db.Raw(`SELECT start, body FROM journal_minutes`).
		Scan(&c.Minutes).Error; err != nil {
		return c, err
	}
	var known []struct {
		Kind  string
		Pairs []byte
	}
	if err := db.Raw(`SELECT kind, pairs FROM journal_known ORDER BY seq`).
		Scan(&known).Error; err != nil {
		return c, err
	}
	for _, k := range known {
		if len(k.Pairs)%16 != 0 {
			return c, fmt.Errorf("the record of orders is damaged: %d bytes of hashes",
				len(k.Pairs))
		}
		into := &c.Known
		if k.Kind == "job" {
			into = &c.KnownJobs
		}
		for b := range slices.Chunk(k.Pairs, 16) {
			//nolint:gosec // as they were
			*into = append(*into, [2]int64{int64(binary.BigEndian.Uint64(b)),
				int64(binary.BigEndian.Uint64(b[8:]))})
		}
	}
	return c, nil
}

// JournalEpochs gives how far each journal was read, and the generation of that.
func (s *Store) JournalEpochs(ctx context.Context) (JournalState, error) {
	c, err := heads(s.db.WithContext(ctx))
	return c, s.failure(err)
}

func heads(tx *gorm.DB) (c JournalState, err error) {
	var state struct {
		Generation int64
		Body       string
	}
	if err = tx.Raw(`SELECT generation, body FROM journal_state`).Scan(&state).Error; err != nil {
		return c, err
	}
	c.Generation, c.Body = state.Generation, state.Body
	err = tx.Raw(`SELECT epoch AS key, body FROM journal_epochs ORDER BY epoch`).
		Scan(&c.Epochs).Error
	return c, err
}
