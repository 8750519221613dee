package server

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const (
	runsShown    = 20
	logShown     = 500
	historyShown = 200
	auditShown   = 50
	// evidenceShown is per check.
	evidenceShown = 20
)

// home leads to the migration; there is one.
func (s *Server) home(c *fiber.Ctx) error {
	all, err := s.control.Migrations(c.UserContext())
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return migration.Errorf(migration.NotFound, "there is no migration yet: it is created from the plan at the first start")
	}
	return c.Redirect("/m/"+all[0].ID, http.StatusSeeOther)
}

// migration finds the migration that the address names.
func (s *Server) migration(c *fiber.Ctx) (migration.Migration, error) {
	all, err := s.control.Migrations(c.UserContext())
	if err != nil {
		return migration.Migration{}, err
	}
	for _, m := range all {
		if m.ID == c.Params("mid") {
			return m, nil
		}
	}
	return migration.Migration{}, migration.Errorf(migration.NotFound, "there is no migration %q", c.Params("mid"))
}

func (s *Server) overview(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	l, err := s.control.LedgerOverview(c.UserContext(), o.Migration.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: o.Migration, section: "overview", title: o.Migration.Name, topics: []string{"overview"}},
		templ.Join(web.LedgerAlert(o.Migration.ID, l), web.Overview(o, time.Now(), identityOf(c).who())))
}

// params reads a step's parameters from a query or a form.
func params(to, ramp string) (migration.Params, error) {
	p := migration.Params{To: migration.Stage(to)}
	if ramp == "" {
		return p, nil
	}
	n, err := strconv.Atoi(ramp)
	if err != nil {
		return p, migration.Errorf(migration.Invalid, "ramp must be a whole number from 1 to 100")
	}
	p.Ramp = n
	return p, nil
}

func (s *Server) step(c *fiber.Ctx) error {
	p, err := params(c.Query("to"), c.Query("ramp"))
	if err != nil {
		return err
	}
	return s.stepPage(c, p, nil)
}

// stepPage shows a step with the plan for p, and what became of an attempt to start it.
func (s *Server) stepPage(c *fiber.Ctx, p migration.Params, notice *web.Notice) error {
	ctx, mid, step := c.UserContext(), c.Params("mid"), c.Params("step")
	o, err := s.control.Overview(ctx, mid)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Steps, func(st migration.StepStatus) bool { return st.PlanStep.ID == step })
	if i < 0 {
		return migration.Errorf(migration.NotFound, "the plan has no step %q", step)
	}
	v := web.Step{MigrationID: mid, Status: o.Steps[i], Params: p, Open: o.OpenRun, Now: time.Now(), Who: identityOf(c).who()}
	section := "overview"
	if step == migration.StepCutover {
		section = step
		v.Params, v.Cutover = cutover(o, p)
	}
	for _, item := range o.Checklist {
		if slices.Contains(v.Status.PlanStep.Proves, item.Criterion.ID) {
			v.Proves = append(v.Proves, item)
		}
	}
	if v.Runs, err = s.control.Runs(ctx, mid, step, runsShown); err != nil {
		return err
	}
	if step == migration.StepAudit {
		switch a, err := s.control.RedisAudit(ctx, mid); {
		case err == nil:
			v.Audit = &a
		case migration.KindOf(err) != migration.NotFound:
			return err
		}
	}
	if v.Plan, err = s.control.Plan(ctx, mid, step, v.Params); err != nil {
		f := explain(err)
		if f.kind == migration.Internal {
			return err
		}
		v.PlanError = f.text
	}
	topics := []string{"overview"}
	if o.OpenRun != nil {
		topics = append(topics, "run:"+o.OpenRun.ID)
	}
	pl := place{migration: o.Migration, section: section, title: v.Status.PlanStep.Title, topics: topics, notice: notice}
	if notice != nil {
		pl.path = web.StepURL(mid, step, p)
	}
	return s.page(c, pl, web.StepPage(v))
}

// cutover gives the moves that are possible now and which of them is shown: the one asked for, else the recommended one.
func cutover(o migration.Overview, asked migration.Params) (migration.Params, *web.Cutover) {
	view := &web.Cutover{Routing: o.Routing}
	if o.Routing.Stage == migration.StageLive {
		view.Share = &o.Observed
	}
	offer := func(m migration.StageMove, recommended bool) {
		if o.Routing.Check(m) != nil || slices.ContainsFunc(view.Moves, func(have web.Move) bool { return have.StageMove == m }) {
			return
		}
		kind := "back"
		switch {
		case o.Routing.Forward(m) && m.To == o.Routing.Stage:
			kind = "ramp"
		case o.Routing.Forward(m):
			kind = "forward"
		}
		view.Moves = append(view.Moves, web.Move{StageMove: m, Kind: kind, Recommended: recommended})
	}
	for _, n := range o.NextSteps {
		if n.Verb == "start" && n.Step == migration.StepCutover {
			offer(n.Params.Move(), true)
		}
	}
	for _, to := range migration.Stages() {
		m := migration.StageMove{To: to}
		if to == migration.StageLive {
			if o.Routing.Stage == migration.StageShadow && slices.ContainsFunc(view.Moves, func(have web.Move) bool { return have.To == to }) {
				continue
			}
			m.Ramp = 100
			if o.Routing.Stage == migration.StageShadow {
				m.Ramp = 10
			}
		}
		offer(m, false)
	}
	slices.SortStableFunc(view.Moves, func(a, b web.Move) int { return cmp.Compare(rank(a), rank(b)) })
	if asked == (migration.Params{}) && len(view.Moves) > 0 {
		asked = migration.Params(view.Moves[0].StageMove)
	}
	for i, m := range view.Moves {
		view.Moves[i].Chosen = migration.Params(m.StageMove) == asked
	}
	return asked, view
}

// rank orders moves: the recommended one, then those that lead on, then the way back.
func rank(m web.Move) int {
	switch {
	case m.Recommended:
		return 0
	case m.Kind == "back":
		return 2
	}
	return 1
}

func (s *Server) run(c *fiber.Ctx) error { return s.runPage(c, nil, web.Draft{}) }

// runPage shows a run, and what became of an attempt to act on it.
func (s *Server) runPage(c *fiber.Ctx, notice *web.Notice, draft web.Draft) error {
	ctx := c.UserContext()
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	r, err := s.control.Run(ctx, c.Params("run"))
	if err != nil {
		return err
	}
	if r.MigrationID != m.ID {
		return migration.Errorf(migration.NotFound, "there is no run %q", c.Params("run"))
	}
	v := web.Run{MigrationID: m.ID, MigrationName: m.Name, StepTitle: r.Step, Run: r, Draft: draft, Now: time.Now(), Who: identityOf(c).who()}
	if st, ok := m.Plan.Step(r.Step); ok {
		v.StepTitle = st.Title
	}
	if v.Log, v.LogSkipped, err = s.tail(c, r.ID); err != nil {
		return err
	}
	if r.State == migration.RunSucceeded && r.Rollback == "" && r.RolledBackBy == "" && !r.Plan.Irreversible {
		if plan, err := s.control.RollbackPlan(ctx, r.ID); err == nil {
			v.RollbackPlan = &plan
		} else if f := explain(err); f.kind != migration.Internal {
			v.RollbackError = f.text
		} else {
			return err
		}
	}
	section := "overview"
	if r.Step == migration.StepCutover {
		section = r.Step
	}
	pl := place{migration: m, section: section, title: v.StepTitle + " run", topics: []string{"run:" + r.ID}, notice: notice}
	if notice != nil {
		pl.path = "/m/" + m.ID + "/runs/" + r.ID
	}
	return s.page(c, pl, web.RunPage(v))
}

// tail gives the last lines of a run's log, and whether there are earlier ones.
func (s *Server) tail(c *fiber.Ctx, id string) ([]migration.LogLine, bool, error) {
	var lines []migration.LogLine
	skipped := false
	for after := int64(0); ; {
		more, err := s.control.Log(c.UserContext(), id, after, logShown)
		if err != nil {
			return nil, false, err
		}
		lines = append(lines, more...)
		if over := len(lines) - logShown; over > 0 {
			lines, skipped = lines[over:], true
		}
		if len(more) < logShown {
			return lines, skipped, nil
		}
		after = more[len(more)-1].Seq
	}
}

func (s *Server) queues(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	board, err := s.board(c)
	if err != nil {
		return err
	}
	v := web.Queues{MigrationID: m.ID, At: board.At, Now: time.Now()}
	for _, side := range board.Sides {
		ws := web.QueueSide{Side: side.Side, Endpoint: side.Endpoint.Endpoint, Address: side.Address, Error: side.Error, Looking: side.Looking}
		for _, q := range side.Queues {
			wq := web.Queue{Name: q.Queue, Version: q.Version, Pending: q.Pending, Paused: q.Paused}
			for _, state := range queueStates {
				wq.States = append(wq.States, web.StateCount{State: state, Jobs: q.States[state]})
			}
			if q.OldestJobAgeMS > 0 {
				added := board.At.Add(-time.Duration(q.OldestJobAgeMS) * time.Millisecond)
				wq.Oldest = &added
			}
			ws.Queues = append(ws.Queues, wq)
		}
		v.Sides = append(v.Sides, ws)
	}
	return s.page(c, place{migration: m, section: "queues", title: "Queues", topics: []string{"queues"}}, web.QueuesPage(v))
}

func (s *Server) evidence(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Checklist, func(item migration.Item) bool { return item.Criterion.ID == c.Params("criterion") })
	if i < 0 {
		return migration.Errorf(migration.NotFound, "the plan has no criterion %q", c.Params("criterion"))
	}
	v := web.Evidence{MigrationID: o.Migration.ID, Item: o.Checklist[i], Now: time.Now()}
	for _, st := range o.Plan.Steps {
		if slices.Contains(st.Proves, v.Item.Criterion.ID) {
			v.Steps = append(v.Steps, st)
		}
	}
	for _, req := range v.Item.Criterion.Requires {
		list, err := s.control.Evidence(c.UserContext(), o.Migration.ID, req.Check, evidenceShown)
		if err != nil {
			return err
		}
		for _, e := range list {
			v.History = append(v.History, judged(e))
		}
	}
	slices.SortStableFunc(v.History, func(a, b web.Judged) int { return b.ObservedAt.Compare(a.ObservedAt) })
	return s.page(c, place{migration: o.Migration, section: "overview", title: v.Item.Criterion.Title, topics: []string{"overview"}}, web.EvidencePage(v))
}

// judged says what one observation showed by itself, whatever its age.
func judged(e migration.Evidence) web.Judged {
	j := web.Judged{Evidence: e, Verdict: migration.Unknown}
	check, ok := evidence.Of(e.Check)
	if !ok {
		j.Measured = e.Check + ": this version knows no such check"
		return j
	}
	met, measured, err := check.Judge(e.Facts)
	switch {
	case err != nil:
		j.Measured = check.Title + ": " + err.Error()
	case met:
		j.Verdict, j.Measured = migration.Met, measured
	default:
		j.Verdict, j.Measured = migration.Unmet, measured
	}
	return j
}

func (s *Server) audit(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	before, err := whole(c, "before", 0)
	if err != nil {
		return err
	}
	entries, err := s.control.Audit(c.UserContext(), before, auditShown)
	if err != nil {
		return err
	}
	v := web.Audit{MigrationID: m.ID, Entries: entries, Newest: before == 0, Path: "/m/" + m.ID + "/audit"}
	if len(entries) == auditShown && entries[len(entries)-1].Seq > 1 {
		v.Older = entries[len(entries)-1].Seq
	}
	return s.page(c, place{migration: m, section: "audit", title: "Audit log"}, web.AuditPage(v))
}

func (s *Server) plan(c *fiber.Ctx) error {
	o, err := s.control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	v := web.Plan{MigrationID: o.Migration.ID, Plan: o.Plan, EventDate: o.Migration.EventDate, Steps: o.Steps, Now: time.Now()}
	return s.page(c, place{migration: o.Migration, section: "plan", title: "Plan", topics: []string{"overview"}}, web.PlanPage(v))
}
