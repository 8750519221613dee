package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// LedgerRow is one row of the order ledger. Which of the fields identify it depends on
// the table; Body is the ledger's own JSON.
type LedgerRow struct {
	Lane, Queue, Job, Verdict, State string
	Start, At, SettledAt             int64 // unix ms
	DroppedAt                        int64 // of a cursor: since when its lane is not followed; 0: it is
	// JSON; not json.RawMessage, which database/sql does not scan from text
	Body string
}

// LedgerState is what the order ledger of one migration has to be saved, or what a
// restarted one goes on from.
type LedgerState struct {
	Cursors    []LedgerRow // Lane
	Windows    []LedgerRow // Lane, Start, State
	Lives      []LedgerRow // Queue, Job
	Ended      []LedgerRow // Queue, Job: lives that are gone
	Done       []uint64
	Exceptions []LedgerRow // Queue, Job, Verdict, At, SettledAt
}

// rowsAtOnce is how many rows one statement writes. Larger ones are not faster.
const rowsAtOnce = 200

// table is rows of one table; the first columns are its key.
type table [][]any

// rowKey is the key columns of a row, texts and numbers; what a shorter key leaves is nil.
type rowKey [4]any

// insert writes them over what is there. Of two with the same key the later one counts:
// ids that differ only in bytes that no text has become one.
func (t table) insert(tx *gorm.DB, into string, keys int, conflict string) error {
	at := make(map[rowKey]int, len(t))
	unique := make(table, 0, len(t))
	for _, row := range t {
		var key rowKey
		copy(key[:], row[:keys])
		if i, ok := at[key]; ok {
			unique[i] = row
			continue
		}
		at[key] = len(unique)
		unique = append(unique, row)
	}
	for some := range slices.Chunk(unique, rowsAtOnce) {
		one := "(?" + strings.Repeat(", ?", len(some[0])-1) + ")"
		if err := tx.Exec("INSERT INTO "+into+" VALUES "+one+strings.Repeat(", "+one, len(some)-
			1)+" ON CONFLICT "+conflict, slices.Concat(some...)...).Error; err != nil {
			return err
		}
	}
	return nil
}

// SaveLedger saves a change in one transaction. Windows that were conclusive before
// keepFrom (unix ms) are forgotten, and all but the newest keepDone hashes, roughly;
// exceptions never are.
func (s *Store) SaveLedger(
	ctx context.Context, mid string, c LedgerState, keepFrom int64, keepDone int,
) error {
	return s.failure(s.transact(ctx, func(tx *gorm.DB) error {
		do := func(sql string, args ...any) error { return tx.Exec(sql, args...).Error }
		var rows table
		for _, r := range c.Cursors {
			rows = append(rows, []any{mid, r.Lane, r.Body, r.DroppedAt})
		}
		// whether a lane is followed is said by registering and dropping it alone
		if err := rows.insert(tx, `ledger_cursors (migration_id, lane, body, dropped_at)`, 2,
			`(migration_id, lane) DO UPDATE SET body = excluded.body`); err != nil {
			return err
		}
		rows = rows[:0]
		for _, r := range c.Windows {
			rows = append(rows, []any{mid, r.Start, r.Lane, r.State, r.Body})
		}
		if err := rows.insert(tx, `ledger_windows (migration_id, start, lane, state, body)`, 3,
			`(migration_id, start, lane) DO UPDATE SET state = excluded.state, body = excluded.body`); err != nil {
			return err
		}
		rows = rows[:0]
		for _, r := range c.Lives {
			rows = append(rows, []any{mid, text(r.Queue), text(r.Job), r.Body})
		}
		if err := rows.insert(tx, `ledger_lives (migration_id, queue, job, body)`, 3,
			`(migration_id, queue, job) DO UPDATE SET body = excluded.body`); err != nil {
			return err
		}
		ended := map[string][]any{} // jobs by queue
		for _, r := range c.Ended {
			ended[r.Queue] = append(ended[r.Queue], text(r.Job))
		}
		for queue, jobs := range ended {
			for some := range slices.Chunk(jobs, rowsAtOnce) {
				if err := do(`DELETE FROM ledger_lives WHERE migration_id = ? AND queue = ? AND job IN (?`+
					strings.Repeat(", ?", len(some)-1)+`)`,
					slices.Concat([]any{mid, text(queue)}, some)...); err != nil {
					return err
				}
			}
		}
		rows = rows[:0]
		for _, r := range c.Exceptions {
			rows = append(rows,
				[]any{mid, text(r.Queue), text(r.Job), r.Verdict, r.At, r.SettledAt, r.Body})
		}
		if err := rows.insert(tx,
			`ledger_exceptions (migration_id, queue, job, verdict, at, settled_at, body)`, 4,
			`(migration_id, queue, job, verdict)
				DO UPDATE SET at = excluded.at, settled_at = excluded.settled_at,
					body = excluded.body`); err != nil {
			return err
		}
		if len(c.Done) > 0 {
			hashes := make([]byte, 0, 8*len(c.Done))
			for _, h := range c.Done {
				hashes = binary.BigEndian.AppendUint64(hashes, h)
			}
			if err := do(`INSERT INTO ledger_done (migration_id, n, hashes) VALUES (?, ?, ?)`,
				mid, len(c.Done), hashes); err != nil {
				return err
			}
			// The newest rows that hold keepDone hashes together stay.
			if err := do(`DELETE FROM ledger_done WHERE migration_id = ? AND seq IN (
				SELECT seq FROM (SELECT seq, SUM(n) OVER (ORDER BY seq DESC) - n AS newer
					FROM ledger_done WHERE migration_id = ?) AS counted WHERE newer >= ?)`,
				mid, mid, keepDone); err != nil {
				return err
			}
		}
		return do(
			`DELETE FROM ledger_windows WHERE migration_id = ? AND state = 'conclusive' AND start < ?`,
			mid,
			keepFrom,
		)
	}))
}

// LoadLedger gives what a restarted ledger goes on from: every cursor and open life,
// the windows that are not closed, the hashes (the oldest first) and the exceptions
// that are not settled or of an open life, which would be raised once more. Closed windows
// that may still change are LedgerWindowsOf's to give.
func (s *Store) LoadLedger(ctx context.Context, mid string) (c LedgerState, err error) {
	db := s.db.WithContext(ctx)
	read := func(into *[]LedgerRow, sql string) {
		if err == nil {
			err = db.Raw(sql, mid).Scan(into).Error
		}
	}
	read(&c.Cursors, ledgerCursors)
	read(
		&c.Windows,
		`SELECT lane, start, state, body FROM ledger_windows
				WHERE migration_id = ? AND state = 'running' ORDER BY start, lane`,
	)
	read(&c.Lives, `SELECT queue, job, body FROM ledger_lives WHERE migration_id = ?`)
	read(
		&c.Exceptions,
		`SELECT queue, job, verdict, at, settled_at, body FROM ledger_exceptions e
				WHERE migration_id = ? AND (settled_at = 0 OR EXISTS (SELECT 1 FROM ledger_lives l
					WHERE l.migration_id = e.migration_id AND l.queue = e.queue AND l.job = e.job))`,
	)
	if err != nil {
		return c, s.failure(err)
	}
	var done []struct{ Hashes []byte }
	if err := db.Raw(`SELECT hashes FROM ledger_done WHERE migration_id = ? ORDER BY seq`,
		mid).Scan(&done).Error; err != nil {
		return c, s.failure(err)
	}
	for _, d := range done {
		if len(d.Hashes)%8 != 0 {
			return c, fmt.Errorf("the ledger's hashes of migration %s are damaged: %d bytes",
				mid, len(d.Hashes))
		}
		for b := range slices.Chunk(d.Hashes, 8) {
			c.Done = append(c.Done, binary.BigEndian.Uint64(b))
		}
	}
	return c, nil
}

const ledgerCursors = `SELECT lane, body, dropped_at FROM ledger_cursors
	WHERE migration_id = ? ORDER BY lane`

// LedgerCursors gives how far each lane was read, also those that are not followed now.
func (s *Store) LedgerCursors(ctx context.Context, mid string) (rows []LedgerRow, err error) {
	err = s.db.WithContext(ctx).Raw(ledgerCursors, mid).Scan(&rows).Error
	return rows, s.failure(err)
}

// RegisterLedgerCursor says that a lane is followed from now on, and adds its row unless there
// is one: LedgerCursors tells so before anybody reads the lane.
func (s *Store) RegisterLedgerCursor(ctx context.Context, mid string, r LedgerRow) error {
	return s.failure(s.db.WithContext(ctx).Exec(
		`INSERT INTO ledger_cursors (migration_id, lane, body) VALUES (?, ?, ?)
			ON CONFLICT (migration_id, lane) DO UPDATE SET dropped_at = 0`,
		mid, r.Lane, r.Body).Error)
}

// DropLedgerCursor says since when (unix ms) a lane is not followed because its server was let
// go. How far it was read stays.
func (s *Store) DropLedgerCursor(ctx context.Context, mid, lane string, at int64) error {
	return s.failure(s.db.WithContext(ctx).Exec(
		`UPDATE ledger_cursors SET dropped_at = ?
			WHERE migration_id = ? AND lane = ? AND dropped_at = 0`, at, mid, lane).Error)
}

// LedgerWindowsOf gives a lane's closed windows that began at or after since (unix ms).
func (s *Store) LedgerWindowsOf(
	ctx context.Context, mid, lane string, since int64,
) (rows []LedgerRow, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT lane, start, state, body FROM ledger_windows
		WHERE migration_id = ? AND start >= ? AND lane = ? AND state <> 'running' ORDER BY start`,
		mid, since, lane).Scan(&rows).Error
	return rows, s.failure(err)
}

// LedgerWindows gives all windows that began at or after since (unix ms), the newest first.
func (s *Store) LedgerWindows(
	ctx context.Context, mid string, since int64,
) (rows []LedgerRow, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT lane, start, state, body FROM ledger_windows
		WHERE migration_id = ? AND start >= ? ORDER BY start DESC, lane`, mid, since).
		Scan(&rows).Error
	return rows, s.failure(err)
}

// LedgerFilter says which exceptions; empty fields are any.
type LedgerFilter struct {
	Job, Verdict  string
	State         string // open: nothing settles it; settled
	Offset, Limit int
}

// LedgerExceptions gives exceptions, not settled ones first, then the newest.
func (s *Store) LedgerExceptions(
	ctx context.Context, mid string, f LedgerFilter,
) (rows []LedgerRow, err error) {
	err = s.db.WithContext(ctx).
		Raw(`SELECT queue, job, verdict, at, settled_at, body FROM ledger_exceptions
			WHERE migration_id = ? AND (? = '' OR job = ?) AND (? = '' OR verdict = ?)
		AND (? = '' OR (settled_at = 0) = (? = 'open'))
		ORDER BY CASE WHEN settled_at = 0 THEN 0 ELSE 1 END, at DESC, job, queue, verdict LIMIT ? OFFSET ?`,
			mid, text(f.Job), text(f.Job), f.Verdict, f.Verdict, f.State, f.State, f.Limit,
			f.Offset).
		Scan(&rows).
		Error
	return rows, s.failure(err)
}

// LedgerCount is how many exceptions of a verdict there are.
type LedgerCount struct {
	Verdict string
	Settled bool
	N       int64
}

// LedgerCounts counts the exceptions.
func (s *Store) LedgerCounts(ctx context.Context, mid string) (rows []LedgerCount, err error) {
	err = s.db.WithContext(ctx).
		Raw(`SELECT verdict, settled_at <> 0 AS settled, COUNT(*) AS n FROM ledger_exceptions
			WHERE migration_id = ? GROUP BY verdict, settled_at <> 0`, mid).
		Scan(&rows).
		Error
	return rows, s.failure(err)
}

// LedgerLives gives the open lives of a job id, in any queue.
func (s *Store) LedgerLives(
	ctx context.Context, mid, job string,
) (rows []LedgerRow, err error) {
	err = s.db.WithContext(ctx).Raw(
		`SELECT queue, job, body FROM ledger_lives WHERE migration_id = ? AND job = ?`, mid,
		text(job)).Scan(&rows).Error
	return rows, s.failure(err)
}

// LedgerOpen counts the open lives.
func (s *Store) LedgerOpen(ctx context.Context, mid string) (n int64, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT COUNT(*) FROM ledger_lives WHERE migration_id = ?`,
		mid).Scan(&n).Error
	return n, s.failure(err)
}
