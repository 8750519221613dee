package server

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

const runsShown = 20

func (s *Server) stepRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/steps/:step", site.ByAccount, s.step),
		site.Post("/m/:mid/steps/:step/start", site.Engineer, s.startForm),
		site.Get("/m/:mid/exports/:format", site.Session, s.exportFile),
		site.Get(apiMigration+"/steps", site.Session, s.apiSteps),
		site.Get(apiMigration+"/steps/:step/plan", site.Session, s.apiPlan),
		site.Post(apiMigration+"/steps/:step/runs", site.Engineer, s.apiStart),
		site.Get(apiMigration+"/exports/:format", site.Session, s.apiExport),
	}
}

// params reads a step's parameters from a query or a form.
func params(value func(string) string) (migration.Params, error) {
	p := migration.Params{To: migration.Stage(value("to"))}
	whole := func(key, wants string, into *int) error {
		text := value(key)
		if text == "" {
			return nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return migration.Errorf(migration.Invalid, "%s must be a whole number%s", key, wants)
		}
		*into = n
		return nil
	}
	for _, key := range migration.LimitKeys() {
		if err := whole(key, "", p.Limits.Of(key)); err != nil {
			return p, err
		}
	}
	return p, whole("ramp", " from 1 to 100", &p.Ramp)
}

func queryParams(c *fiber.Ctx) (migration.Params, error) {
	return params(func(key string) string { return c.Query(key) })
}

func (s *Server) step(c *fiber.Ctx) error {
	p, err := queryParams(c)
	if err != nil {
		return err
	}
	return s.stepPage(c, p, nil)
}

// stepPage shows a step with the plan for p, and what became of an attempt to start it.
func (s *Server) stepPage(c *fiber.Ctx, p migration.Params, notice *ui.Notice) error {
	ctx, mid, step := c.UserContext(), c.Params("mid"), c.Params("step")
	o, err := s.Control.Overview(ctx, mid)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Steps,
		func(st migration.StepStatus) bool { return st.PlanStep.ID == step })
	if i < 0 {
		return migration.Errorf(migration.NotFound, "the plan has no step %q", step)
	}
	v := migrationpages.Step{
		MigrationID: mid, Status: o.Steps[i], Params: p, Open: o.OpenRun, Now: time.Now(),
		Who: site.IdentityOf(c).Who(), Others: s.others(c, "step:"+step),
	}
	at := site.Place{
		Migration: o.Migration, Section: "overview", Title: v.Status.PlanStep.Title,
		Topics: []string{"overview", "step:" + step}, Notice: notice,
	}
	if step == migration.StepCutover {
		at.Section = step
		v.Params, v.Cutover = cutover(o, p)
		if err = s.cockpit(c, o, v.Cutover); err != nil {
			return err
		}
		v.WayBack = o.WayBack
		at.Topics = append(at.Topics, "guardrails")
	}
	for _, id := range v.Status.PlanStep.Needs {
		if need, ok := o.Plan.Step(id); ok {
			v.Needs = append(v.Needs, need)
		}
	}
	for _, item := range o.Checklist {
		if slices.Contains(v.Status.PlanStep.Proves, item.Criterion.ID) {
			v.Proves = append(v.Proves, item)
		}
	}
	if v.Runs, err = s.Control.Runs(ctx, mid, step, runsShown); err != nil {
		return err
	}
	if step == migration.StepProvision {
		v.Exports = s.Control.Exports()
	}
	if step == migration.StepAudit {
		switch a, err := s.Control.RedisAudit(ctx, mid); {
		case err == nil:
			v.Audit = &a
		case migration.KindOf(err) != migration.NotFound:
			return err
		}
	}
	if v.Plan, err = s.Control.Plan(ctx, mid, step, v.Params); err != nil {
		f := site.Explain(err)
		if f.Kind == migration.Internal {
			return err
		}
		v.PlanError = f.Text
	}
	if o.OpenRun != nil {
		at.Topics = append(at.Topics, "run:"+o.OpenRun.ID)
	}
	if notice != nil {
		at.Path = ui.StepURL(mid, step, p)
	}
	return s.Page(c, at, migrationpages.StepPage(v))
}

// cockpit is what an engineer watches while orders move: nothing before they do.
func (s *Server) cockpit(
	c *fiber.Ctx, o migration.Overview, v *migrationpages.Cutover,
) (err error) {
	v.Bounds = s.Control.LimitBounds()
	if o.Routing.Stage == migration.StageOff {
		return nil
	}
	if v.Guardrails, err = s.Control.Guardrails(c.UserContext(), o); err != nil {
		return err
	}
	v.Flow = flowOf(o)
	g, err := s.chartsOf(c, o.Migration.ID, "15m", workflows.SeriesPoints, charts.Cutover()...)
	g.Compact = true
	v.Charts = &g
	return err
}

// flowOf is where orders went since the stage was set; nil where the journal cannot be read.
func flowOf(o migration.Overview) *migrationpages.Flow {
	if o.OrdersError != "" || o.Routing.Stage == migration.StageOff {
		return nil
	}
	return &migrationpages.Flow{
		Key: fmt.Sprintf("%s-%d", o.Routing, o.Routing.Revision), Orders: o.Observed}
}

// cutover gives the moves that are possible now and which of them is shown: the one asked for,
// else the recommended one.
func cutover(
	o migration.Overview, asked migration.Params,
) (migration.Params, *migrationpages.Cutover) {
	view := &migrationpages.Cutover{Routing: o.Routing}
	if o.Routing.Stage == migration.StageLive {
		view.Share = &o.Observed
	}
	offered := func(same func(migrationpages.Move) bool) bool {
		return slices.ContainsFunc(view.Moves, same)
	}
	offer := func(m migration.StageMove, recommended bool) {
		if o.Routing.Check(m) != nil ||
			offered(func(have migrationpages.Move) bool { return have.StageMove == m }) {
			return
		}
		kind := "back"
		switch {
		case o.Routing.Forward(m) && m.To == o.Routing.Stage:
			kind = "ramp"
		case o.Routing.Forward(m):
			kind = "forward"
		}
		view.Moves = append(view.Moves,
			migrationpages.Move{StageMove: m, Kind: kind, Recommended: recommended})
	}
	for _, n := range o.NextSteps {
		if n.Verb == "start" && n.Step == migration.StepCutover {
			offer(n.Params.Move(), true)
			break // the way back comes after it
		}
	}
	for _, to := range migration.Stages() {
		m := migration.StageMove{To: to}
		if to == migration.StageLive {
			first := o.Routing.Stage == migration.StageShadow
			if first && offered(func(have migrationpages.Move) bool { return have.To == to }) {
				continue
			}
			m.Ramp = 100
			if first {
				m.Ramp = 10
			}
		}
		offer(m, false)
	}
	slices.SortStableFunc(view.Moves,
		func(a, b migrationpages.Move) int { return cmp.Compare(rank(a), rank(b)) })
	if asked.To == "" && len(view.Moves) > 0 {
		asked.To, asked.Ramp = view.Moves[0].To, view.Moves[0].Ramp
	}
	for i, m := range view.Moves {
		view.Moves[i].Chosen = m.StageMove == asked.Move()
	}
	return asked, view
}

// rank orders moves: the recommended one, then those that lead on, then the way back.
func rank(m migrationpages.Move) int {
	switch {
	case m.Recommended:
		return 0
	case m.Kind == "back":
		return 2
	}
	return 1
}

func (s *Server) startForm(c *fiber.Ctx) error {
	p, err := params(func(key string) string { return c.FormValue(key) })
	if err != nil {
		return err
	}
	r, err := s.Control.Start(c.UserContext(), site.Actor(c), c.Params("mid"), c.Params("step"),
		p, c.FormValue("plan_hash"))
	if err != nil {
		n, err := site.Refused(c, "Not started", err)
		if err != nil {
			return err
		}
		return s.stepPage(c, p, n)
	}
	return toRun(c, r)
}

// exportFile gives what the step Provision would bring about as a file.
func (s *Server) exportFile(c *fiber.Ctx) error {
	e, err := s.Control.Export(c.UserContext(), c.Params("mid"), c.Params("format"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
	c.Set(fiber.HeaderContentDisposition, "attachment; filename="+e.File)
	return c.SendString(e.Text)
}

func (s *Server) apiSteps(c *fiber.Ctx) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	return site.Answer(c,
		api.StepList{Steps: site.List(o.Steps), NextSteps: site.List(o.NextSteps)}, err)
}

func (s *Server) apiPlan(c *fiber.Ctx) error {
	p, err := queryParams(c)
	if err != nil {
		return err
	}
	plan, err := s.Control.Plan(c.UserContext(), c.Params("mid"), c.Params("step"), p)
	return site.Answer(c, plan, err)
}

func (s *Server) apiStart(c *fiber.Ctx) error {
	var in api.Start
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	mid := c.Params("mid")
	r, err := s.Control.Start(
		c.UserContext(), site.Actor(c), mid, c.Params("step"), in.Params, in.PlanHash)
	if migration.KindOf(err) == migration.Conflict {
		o, viewErr := s.Control.Overview(c.UserContext(), mid)
		if viewErr == nil && o.OpenRun != nil {
			return &site.InTheWayError{Err: err, RunID: o.OpenRun.ID}
		}
	}
	return created(c, r, err)
}

func (s *Server) apiExport(c *fiber.Ctx) error {
	e, err := s.Control.Export(c.UserContext(), c.Params("mid"), c.Params("format"))
	return site.Answer(c, e, err)
}
