package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

type runRow struct {
	ID           string
	MigrationID  string
	Step         string
	Params       string
	State        string
	Rollback     string
	RolledBackBy string
	Plan         string
	RequestedBy  string
	DecidedBy    string
	Comment      string
	CancelledBy  string
	PausedBy     string
	Error        string
	Progress     string
	Measure      string
	CreatedAt    int64
	StartedAt    *int64
	FinishedAt   *int64
}

func (runRow) TableName() string { return "runs" }

func (r runRow) value() (migration.Run, error) {
	run := migration.Run{ID: r.ID, MigrationID: r.MigrationID, Step: r.Step,
		State: migration.RunState(r.State), Rollback: r.Rollback,
		RolledBackBy: r.RolledBackBy, RequestedBy: r.RequestedBy, DecidedBy: r.DecidedBy,
		Comment: r.Comment, CancelledBy: r.CancelledBy, Error: r.Error,
		PausedBy: r.PausedBy, Progress: r.Progress, CreatedAt: fromMillis(r.CreatedAt),
		StartedAt: optional(r.StartedAt), FinishedAt: optional(r.FinishedAt)}
	if err := json.Unmarshal([]byte(r.Params), &run.Params); err != nil {
		return run, fmt.Errorf("params of run %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.Plan), &run.Plan); err != nil {
		return run, fmt.Errorf("plan of run %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.Measure), &run.Measure); err != nil {
		return run, fmt.Errorf("measure of run %s: %w", r.ID, err)
	}
	return run, nil
}

// CreateRun stores a new run with its actions, all pending. Conflict, naming who runs
// what, when the migration has an open run already: the unique index decides, so of
// many at once exactly one wins.
func (s *Store) CreateRun(ctx context.Context, run migration.Run) error {
	params, err := toJSON(run.Params)
	if err != nil {
		return err
	}
	plan, err := toJSON(run.Plan)
	if err != nil {
		return err
	}
	err = s.transact(ctx, func(tx *gorm.DB) error {
		row := runRow{ID: run.ID, MigrationID: run.MigrationID, Step: run.Step, Params: params,
			State: string(run.State), Rollback: run.Rollback,
			Plan: plan, RequestedBy: run.RequestedBy, Measure: "null",
			CreatedAt: millis(run.CreatedAt)}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		for _, a := range run.Plan.Actions {
			if err := tx.Create(&actionRow{
				RunID:    run.ID,
				ActionID: a.ID,
				State:    string(migration.ActionPending),
				Output:   "null",
			}).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if isUnique(err) {
		open, findErr := s.OpenRun(ctx, run.MigrationID)
		if findErr != nil || open == nil {
			return migration.Errorf(migration.Conflict,
				"another run was just started; look again")
		}
		return migration.Errorf(migration.Conflict,
			"%s already runs %q (run %s, %s, since %s): wait for it, or cancel it",
			open.RequestedBy, open.Step, open.ID, open.State,
			open.CreatedAt.Format(time.TimeOnly+" UTC"))
	}
	return err
}

// Run returns one run with its actions, or NotFound.
func (s *Store) Run(ctx context.Context, id string) (migration.Run, error) {
	var r runRow
	if err := s.db.WithContext(ctx).Where("id = ?", id).Take(&r).Error; err != nil {
		return migration.Run{}, missing(err, "there is no run %q", id)
	}
	run, err := r.value()
	if err != nil {
		return run, err
	}
	if run.Approvals, err = s.approvals(ctx, id); err != nil {
		return run, err
	}
	run.Actions, err = s.actions(ctx, run)
	return run, err
}

// OpenRun returns the migration's open run with its actions, or nil when nothing is
// under way.
func (s *Store) OpenRun(ctx context.Context, mid string) (*migration.Run, error) {
	var r runRow
	err := s.db.WithContext(ctx).Where("migration_id = ? AND finished_at IS NULL",
		mid).Take(&r).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil //nolint:nilnil // "nothing is open" is an answer of its own, not an error.
	}
	if err != nil {
		return nil, err
	}
	run, err := r.value()
	if err != nil {
		return nil, err
	}
	if run.Approvals, err = s.approvals(ctx, run.ID); err != nil {
		return nil, err
	}
	run.Actions, err = s.actions(ctx, run)
	return &run, err
}

// RunFilter says which runs; empty fields are any.
type RunFilter struct {
	Step   string
	State  string // of migration.RunState, or "open" for every state that is not final
	Person string // who asked for it, decided on it or cancelled it
	Text   string // begin of its id, or a part of its step's id
	Before string // id of a run: only those that are older
	Limit  int
}

// Runs lists a migration's runs of a step (empty: of all), newest first, without their
// actions.
func (s *Store) Runs(
	ctx context.Context, mid, step string, limit int,
) ([]migration.Run, error) {
	return s.FindRuns(ctx, mid, RunFilter{Step: step, Limit: limit})
}

// FindRuns lists a migration's runs, newest first, without their actions.
func (s *Store) FindRuns(
	ctx context.Context, mid string, f RunFilter,
) ([]migration.Run, error) {
	q := s.db.WithContext(ctx).Where("migration_id = ?",
		mid).Order("created_at DESC, rowid DESC").Limit(f.Limit)
	if f.Step != "" {
		q = q.Where("step = ?", text(f.Step))
	}
	switch f.State {
	case "":
	case "open":
		q = q.Where("finished_at IS NULL")
	default:
		q = q.Where("state = ?", text(f.State))
	}
	if f.Person != "" {
		who := text(f.Person)
		q = q.Where("(requested_by = ? OR decided_by = ? OR cancelled_by = ?)", who, who, who)
	}
	if f.Text != "" {
		q = q.Where("(lower(id) LIKE ? ESCAPE '!' OR lower(step) LIKE ? ESCAPE '!')",
			like(f.Text)+"%", "%"+like(f.Text)+"%")
	}
	if f.Before != "" {
		q = q.Where("(created_at, rowid) < (SELECT created_at, rowid FROM runs WHERE id = ?)",
			text(f.Before))
	}
	var rows []runRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.Run, 0, len(rows))
	for _, r := range rows {
		run, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, run)
	}
	return out, nil
}

// like is a text as a pattern of LIKE ... ESCAPE '!' that stands for itself, in lower case.
func like(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").
		Replace(strings.ToLower(text(s)))
}

// RunsInState lists the runs of all migrations in a state, oldest first.
func (s *Store) RunsInState(ctx context.Context, state migration.RunState) ([]string, error) {
	var ids []string
	err := s.db.WithContext(ctx).Model(&runRow{}).Where("state = ?",
		string(state)).Order("created_at, rowid").Pluck("id", &ids).Error
	return ids, err
}

// RunChange is what a change of state also writes. Empty fields are left alone.
type RunChange struct {
	DecidedBy, Comment, CancelledBy, Error string
}

// MoveRun changes a run's state if it is in one of from, else Conflict. Final states
// set the finishing time and, for a successful rollback, mark the run it took back.
func (s *Store) MoveRun(
	ctx context.Context, id string, from []migration.RunState, to migration.RunState,
	c RunChange, at time.Time,
) error {
	set := map[string]any{"state": string(to)}
	for column, v := range map[string]string{
		"decided_by":   c.DecidedBy,
		"comment":      c.Comment,
		"cancelled_by": c.CancelledBy,
		"error":        c.Error,
	} {
		if v != "" {
			set[column] = text(v)
		}
	}
	if to == migration.RunRunning {
		set["started_at"] = gorm.Expr("coalesce(started_at, ?)", millis(at))
	}
	if !to.Open() {
		set["finished_at"] = millis(at)
	}
	if !to.Open() || to == migration.RunUndoing {
		set["paused_by"], set["measure"] = "", "null" // what is taken back is not held up
	}
	return s.transact(ctx, func(tx *gorm.DB) error {
		res := tx.Model(&runRow{}).Where("id = ? AND state IN ?", id, from).Updates(set)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected != 1 {
			var r runRow
			if err := tx.Where("id = ?", id).Take(&r).Error; err != nil {
				return missing(err, "there is no run %q", id)
			}
			return migration.Errorf(migration.Conflict,
				"run %s is %s now, so it cannot become %s", id, r.State, to)
		}
		if to != migration.RunSucceeded {
			return nil
		}
		return tx.Exec("UPDATE runs SET rolled_back_by = ? WHERE id = (SELECT rollback FROM "+
			"runs WHERE id = ?)", id, id).Error
	})
}

// RequestCancel notes who wants an open run stopped; the engine reads it.
func (s *Store) RequestCancel(ctx context.Context, id, who string) error {
	res := s.db.WithContext(ctx).Model(&runRow{}).Where(
		"id = ? AND finished_at IS NULL AND cancelled_by = ''", id).Update("cancelled_by", who)
	if res.Error == nil && res.RowsAffected != 1 {
		return migration.Errorf(migration.Conflict,
			"run %s is finished or being cancelled already", id)
	}
	return res.Error
}

// SetPaused notes who holds a running run up, or, with "", that it goes on; the engine
// reads it. Conflict when that is so already.
func (s *Store) SetPaused(ctx context.Context, id, who string) error {
	q, is := s.db.WithContext(ctx).Model(&runRow{}).Where("id = ? AND state = ?", id,
		string(migration.RunRunning)), "paused or not under way"
	if who != "" {
		q = q.Where("paused_by = '' AND cancelled_by = ''")
	} else {
		q, is = q.Where("paused_by <> ''"), "not paused"
	}
	res := q.Update("paused_by", who)
	if res.Error == nil && res.RowsAffected != 1 {
		return migration.Errorf(migration.Conflict,
			"run %s is %s now: look at it again", id, is)
	}
	return res.Error
}

// PausedBy gives who holds a run up; "" nobody.
func (s *Store) PausedBy(ctx context.Context, id string) (who string, err error) {
	err = s.db.WithContext(ctx).Model(&runRow{}).Where("id = ?",
		id).Select("paused_by").Take(&who).Error
	return who, missing(err, "there is no run %q", id)
}

// SetProgress writes the run's line of progress, and its figures; nil when there are
// none.
func (s *Store) SetProgress(
	ctx context.Context, id, progress string, m *migration.Measure,
) error {
	figures, err := toJSON(m)
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Model(&runRow{}).Where("id = ?",
		id).Updates(map[string]any{"progress": text(progress), "measure": figures}).Error
}

type approvalRow struct {
	RunID    string
	Seq      int
	ActionID string
	Approved bool
	By       string `gorm:"column:by_name"`
	Comment  string
	At       int64
}

func (approvalRow) TableName() string { return "run_approvals" }

func (s *Store) approvals(ctx context.Context, id string) ([]migration.Consent, error) {
	var rows []approvalRow
	if err := s.db.WithContext(ctx).Where("run_id = ?",
		id).Order("seq").Find(&rows).Error; err != nil {
		return nil, err
	}
	var out []migration.Consent
	for _, r := range rows {
		out = append(out, migration.Consent{
			Action:   r.ActionID,
			Approved: r.Approved,
			By:       r.By,
			Comment:  r.Comment,
			At:       fromMillis(r.At),
		})
	}
	return out, nil
}

const answered = "(SELECT count(*) FROM run_approvals WHERE run_id = runs.id)"

// HoldRun lets a running run wait for its next approval, after that many answers.
// False: it is cancelled instead. Asked again, as by a process that takes over, it
// changes nothing.
func (s *Store) HoldRun(ctx context.Context, id string, answers int) (held bool, err error) {
	err = s.transact(ctx, func(tx *gorm.DB) error {
		res := tx.Model(&runRow{}).Where("id = ? AND state = ? AND cancelled_by = '' AND "+
			answered+" = ?", id, string(migration.RunRunning), answers).
			Updates(map[string]any{
				"state":     string(migration.RunAwaitingApproval),
				"paused_by": "",
				"measure":   "null",
			})
		if res.Error != nil || res.RowsAffected == 1 {
			held = true
			return res.Error
		}
		var cancelled int64
		res = tx.Model(&runRow{}).Where("id = ? AND state = ? AND cancelled_by <> '' AND "+
			answered+" = ?", id, string(migration.RunRunning), answers).Count(&cancelled)
		held = cancelled == 0
		return res.Error
	})
	return held, err
}

// AnswerRun writes the answer to a run that waits before an action, after that many
// answers, and lets it go on: with the action, or to be cancelled by whom. Conflict
// when it does not wait there any more.
func (s *Store) AnswerRun(
	ctx context.Context, id string, answers int, c migration.Consent, cancelledBy string,
) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		set := map[string]any{"state": string(migration.RunQueued)}
		if cancelledBy != "" {
			set["cancelled_by"] = cancelledBy
		}
		res := tx.Model(&runRow{}).Where("id = ? AND state = ? AND started_at IS NOT NULL AND "+
			answered+" = ?", id, string(migration.RunAwaitingApproval), answers).Updates(set)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected != 1 {
			return migration.Errorf(migration.Conflict,
				"run %s does not wait for that any more: look at it again", id)
		}
		return tx.Create(&approvalRow{
			RunID:    id,
			Seq:      answers,
			ActionID: c.Action,
			Approved: c.Approved,
			By:       c.By,
			Comment:  text(c.Comment),
			At:       millis(c.At),
		}).Error
	})
}

type actionRow struct {
	RunID      string
	ActionID   string
	State      string
	Detail     string
	Output     string
	StartedAt  *int64
	FinishedAt *int64
}

func (actionRow) TableName() string { return "run_actions" }

func (s *Store) actions(ctx context.Context, run migration.Run) ([]migration.RunAction, error) {
	one := []migration.Run{run}
	err := s.ReadActions(ctx, one)
	return one[0].Actions, err
}

// ReadActions adds their actions to runs that were listed, with one query.
func (s *Store) ReadActions(ctx context.Context, runs []migration.Run) error {
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	var rows []actionRow
	if err := s.db.WithContext(ctx).Where("run_id IN ?", ids).Find(&rows).Error; err != nil {
		return err
	}
	byID := map[[2]string]actionRow{}
	for _, r := range rows {
		byID[[2]string{r.RunID, r.ActionID}] = r
	}
	for i := range runs {
		run := &runs[i]
		out := make([]migration.RunAction, 0, len(run.Plan.Actions))
		for _, p := range run.Plan.Actions {
			out = append(out, byID[[2]string{run.ID, p.ID}].value(p))
		}
		run.Actions = out
	}
	return nil
}

func (r actionRow) value(p migration.ActionPlan) migration.RunAction {
	a := migration.RunAction{
		ActionPlan: p,
		State:      migration.ActionState(r.State),
		Detail:     r.Detail,
		StartedAt:  optional(r.StartedAt),
		FinishedAt: optional(r.FinishedAt),
	}
	if r.Output != "null" {
		a.Output = json.RawMessage(r.Output)
	}
	return a
}

// SaveAction writes where one action of a run stands. A nil output leaves the stored one.
func (s *Store) SaveAction(
	ctx context.Context, runID, actionID string, state migration.ActionState,
	detail string, output json.RawMessage, at time.Time,
) error {
	set := map[string]any{"state": string(state), "detail": text(detail)}
	switch state {
	case migration.ActionRunning:
		set["started_at"] = gorm.Expr("coalesce(started_at, ?)", millis(at))
	case migration.ActionDone, migration.ActionFailed, migration.ActionUndone:
		set["finished_at"] = millis(at)
	case migration.ActionPending:
	}
	if output != nil {
		set["output"] = string(output)
	}
	res := s.db.WithContext(ctx).Model(&actionRow{}).Where("run_id = ? AND action_id = ?",
		runID, actionID).Updates(set)
	if res.Error == nil && res.RowsAffected != 1 {
		return migration.Errorf(migration.NotFound, "run %s has no action %q", runID, actionID)
	}
	return res.Error
}

type logRow struct {
	Seq     int64
	RunID   string
	At      int64
	Action  string
	Level   string
	Message string
}

func (logRow) TableName() string { return "run_log" }

// AppendLog adds a line to a run's log. Lines of a run are committed in the order of
// their numbers, so that who reads on from the last number misses none.
func (s *Store) AppendLog(
	ctx context.Context, runID, action, level, message string, at time.Time,
) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := lockRow(tx, "runs", runID); err != nil {
			return missing(err, "there is no run %q", runID)
		}
		return tx.Exec(
			"INSERT INTO run_log (run_id, at, action, level, message) VALUES (?,?,?,?,?)",
			runID, millis(at), action, level, text(message)).Error
	})
}

// Log lists a run's log lines after a sequence number, oldest first.
func (s *Store) Log(
	ctx context.Context, runID string, after int64, limit int,
) ([]migration.LogLine, error) {
	var rows []logRow
	if err := s.db.WithContext(ctx).Where("run_id = ? AND seq > ?", runID,
		after).Order("seq").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]migration.LogLine, 0, len(rows))
	for _, r := range rows {
		out = append(out, migration.LogLine{
			Seq:     r.Seq,
			At:      fromMillis(r.At),
			Action:  r.Action,
			Level:   r.Level,
			Message: r.Message,
		})
	}
	return out, nil
}
