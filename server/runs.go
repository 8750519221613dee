package server

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

const logShown = 500

func (s *Server) runRoutes() []site.Route {
	const page = "/m/:mid/runs/:run"
	return []site.Route{
		site.GetShared("/m/:mid/runs", site.ByRole, s.runs),
		site.GetShared(page, site.ByAccount, s.run),
		site.Post(page+"/approve", site.Engineer, s.approveForm),
		site.Post(page+"/reject", site.Engineer, s.rejectForm),
		site.Post(page+"/pause", site.Engineer, s.pauseForm),
		site.Post(page+"/resume", site.Engineer, s.resumeForm),
		site.Post(page+"/cancel", site.Engineer, s.cancelForm),
		site.Post(page+"/rollback", site.Engineer, s.rollbackForm),
		site.Get(apiMigration+"/runs", site.Session, s.apiRuns),
		site.Get(apiRun, site.Session, s.apiRun),
		site.Get(apiRun+"/log", site.Session, s.apiLog),
		site.Get(apiRun+"/rollback-plan", site.Session, s.apiRollbackPlan),
		site.Post(apiRun+"/approve", site.Engineer, s.apiApprove),
		site.Post(apiRun+"/reject", site.Engineer, s.apiReject),
		site.Post(apiRun+"/pause", site.Engineer, s.apiPause),
		site.Post(apiRun+"/resume", site.Engineer, s.apiResume),
		site.Post(apiRun+"/cancel", site.Engineer, s.apiCancel),
		site.Post(apiRun+"/rollback", site.Engineer, s.apiRollback),
	}
}

func runFilter(c *fiber.Ctx, limit int) workflows.RunFilter {
	return workflows.RunFilter{
		Step: c.Query("step"), State: c.Query("state"), Person: c.Query("person"),
		Before: c.Query("before"), Limit: limit,
	}
}

const runsPage = 50

// runs lists the runs of all steps.
func (s *Server) runs(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	f := runFilter(c, runsPage+1) // one more tells whether there are older ones
	runs, err := s.Control.FindRuns(c.UserContext(), m.ID, f)
	if err != nil {
		return err
	}
	v := migrationpages.Runs{
		MigrationID: m.ID, Plan: m.Plan, Filter: f, Runs: runs, Now: time.Now(),
	}
	if len(runs) > runsPage {
		v.Runs, v.More = runs[:runsPage], true
	}
	at := site.Place{Migration: m, Section: "runs", Title: "Runs"}
	if f.Before == "" {
		at.Topics = []string{"overview"}
	}
	return s.Page(c, at, migrationpages.RunsPage(v))
}

func (s *Server) run(c *fiber.Ctx) error { return s.runPage(c, nil, migrationpages.Draft{}) }

// runPage shows a run, and what became of an attempt to act on it.
func (s *Server) runPage(c *fiber.Ctx, notice *ui.Notice, draft migrationpages.Draft) error {
	ctx := c.UserContext()
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	r, back, err := s.Control.RunResult(ctx, c.Params("run"))
	if err != nil {
		return err
	}
	if r.MigrationID != m.ID {
		return migration.Errorf(migration.NotFound, "there is no run %q", c.Params("run"))
	}
	v := migrationpages.Run{
		MigrationID: m.ID, MigrationName: m.Name, StepTitle: r.Step, Run: r, RollbackPlan: back,
		Draft: draft, Now: time.Now(), Who: site.IdentityOf(c).Who(),
		Others: s.others(c, "run:"+r.ID),
	}
	if st, ok := m.Plan.Step(r.Step); ok {
		v.StepTitle = st.Title
	}
	if v.Log, v.LogSkipped, err = s.tail(c, r.ID); err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "overview", Title: v.StepTitle + " run",
		Topics: []string{"run:" + r.ID}, Notice: notice,
	}
	if r.Step == migration.StepCutover {
		o, err := s.Control.Overview(ctx, m.ID)
		if err != nil {
			return err
		}
		v.WayBack = o.WayBack
		// of a run that is over only where its stage still stands: the orders are counted since
		stands := r.Params.Move() == migration.StageMove{To: o.Routing.Stage, Ramp: o.Routing.Ramp}
		if r.State.Open() || r.State == migration.RunSucceeded && stands && o.OpenRun == nil {
			v.Flow = flowOf(o)
		}
		at.Section = r.Step
		at.Topics = append(at.Topics, "guardrails")
	}
	if notice != nil {
		at.Path = "/m/" + m.ID + "/runs/" + r.ID
	}
	return s.Page(c, at, migrationpages.RunPage(v))
}

// others gives who else looks at what a topic is about, as far as this server knows.
func (s *Server) others(c *fiber.Ctx, topic string) (out []ui.Viewer) {
	for _, v := range s.Live.Here(topic, site.Actor(c).Name) {
		out = append(out, ui.Viewer(v))
	}
	return out
}

// tail gives the last lines of a run's log, and whether there are earlier ones.
func (s *Server) tail(c *fiber.Ctx, id string) ([]migration.LogLine, bool, error) {
	var lines []migration.LogLine
	skipped := false
	for after := int64(0); ; {
		more, err := s.Control.Log(c.UserContext(), id, after, logShown)
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

func (s *Server) approveForm(c *fiber.Ctx) error { return s.decideForm(c, true, "Not approved") }
func (s *Server) rejectForm(c *fiber.Ctx) error  { return s.decideForm(c, false, "Not rejected") }

func (s *Server) decideForm(c *fiber.Ctx, approve bool, title string) error {
	d := workflows.Decision{
		Approve: approve, Comment: c.FormValue("comment"),
		ConfirmName: c.FormValue("confirm_name"), PlanHash: c.FormValue("plan_hash"),
		Action: c.FormValue("action"),
	}
	r, err := s.Control.Decide(c.UserContext(), site.Actor(c), c.Params("run"), d)
	draft := migrationpages.Draft{Comment: d.Comment, ConfirmName: d.ConfirmName}
	return s.afterForm(c, r, err, title, draft)
}

func (s *Server) pauseForm(c *fiber.Ctx) error {
	r, err := s.Control.Pause(c.UserContext(), site.Actor(c), c.Params("run"))
	return s.afterForm(c, r, err, "Not paused", migrationpages.Draft{})
}

func (s *Server) resumeForm(c *fiber.Ctx) error {
	r, err := s.Control.Resume(c.UserContext(), site.Actor(c), c.Params("run"))
	return s.afterForm(c, r, err, "Not resumed", migrationpages.Draft{})
}

func (s *Server) cancelForm(c *fiber.Ctx) error {
	r, err := s.Control.Cancel(c.UserContext(), site.Actor(c), c.Params("run"))
	return s.afterForm(c, r, err, "Not cancelled", migrationpages.Draft{})
}

func (s *Server) rollbackForm(c *fiber.Ctx) error {
	r, err := s.Control.Rollback(c.UserContext(), site.Actor(c), c.Params("run"))
	return s.afterForm(c, r, err, "Not rolled back", migrationpages.Draft{})
}

func (s *Server) afterForm(
	c *fiber.Ctx, r migration.Run, err error, title string, draft migrationpages.Draft,
) error {
	if err == nil {
		return toRun(c, r)
	}
	n, err := site.Refused(c, title, err)
	if err != nil {
		return err
	}
	return s.runPage(c, n, draft)
}

func toRun(c *fiber.Ctx, r migration.Run) error {
	return c.Redirect("/m/"+r.MigrationID+"/runs/"+r.ID, http.StatusSeeOther)
}

// created answers with the run that a verb made.
func created(c *fiber.Ctx, r migration.Run, err error) error {
	if err == nil {
		c.Location("/api/v1/runs/" + r.ID)
	}
	return site.Made(c, r, err)
}

func (s *Server) apiRuns(c *fiber.Ctx) error {
	limit, err := site.Limit(c, 50)
	if err != nil {
		return err
	}
	if _, err := s.Migration(c); err != nil {
		return err
	}
	runs, err := s.Control.FindRuns(c.UserContext(), c.Params("mid"), runFilter(c, limit))
	l := api.RunList{Runs: site.List(runs)}
	if len(runs) == limit {
		l.Next = runs[limit-1].ID
	}
	return site.Answer(c, l, err)
}

func (s *Server) apiRun(c *fiber.Ctx) error {
	r, _, err := s.Control.RunResult(c.UserContext(), c.Params("run"))
	return site.Answer(c, r, err)
}

func (s *Server) apiLog(c *fiber.Ctx) error {
	after, err := site.Whole(c, "after", 0)
	if err != nil {
		return err
	}
	limit, err := site.Limit(c, site.MaxLimit)
	if err != nil {
		return err
	}
	if _, err := s.Control.Run(c.UserContext(), c.Params("run")); err != nil {
		return err
	}
	lines, err := s.Control.Log(c.UserContext(), c.Params("run"), after, limit)
	page := api.LogPage{Lines: site.List(lines), Next: after}
	if len(lines) > 0 {
		page.Next = lines[len(lines)-1].Seq
	}
	return site.Answer(c, page, err)
}

func (s *Server) apiRollbackPlan(c *fiber.Ctx) error {
	plan, err := s.Control.RollbackPlan(c.UserContext(), c.Params("run"))
	return site.Answer(c, plan, err)
}

func (s *Server) apiApprove(c *fiber.Ctx) error { return s.apiDecide(c, true) }
func (s *Server) apiReject(c *fiber.Ctx) error  { return s.apiDecide(c, false) }

func (s *Server) apiDecide(c *fiber.Ctx, approve bool) error {
	var in api.Decision
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	r, err := s.Control.Decide(c.UserContext(), site.Actor(c), c.Params("run"),
		workflows.Decision{
			Approve: approve, Comment: in.Comment, ConfirmName: in.ConfirmName,
			PlanHash: in.PlanHash, Action: in.Action,
		})
	return site.Answer(c, r, err)
}

func (s *Server) apiCancel(c *fiber.Ctx) error {
	r, err := s.Control.Cancel(c.UserContext(), site.Actor(c), c.Params("run"))
	return site.Answer(c, r, err)
}

func (s *Server) apiPause(c *fiber.Ctx) error {
	r, err := s.Control.Pause(c.UserContext(), site.Actor(c), c.Params("run"))
	return site.Answer(c, r, err)
}

func (s *Server) apiResume(c *fiber.Ctx) error {
	r, err := s.Control.Resume(c.UserContext(), site.Actor(c), c.Params("run"))
	return site.Answer(c, r, err)
}

func (s *Server) apiRollback(c *fiber.Ctx) error {
	r, err := s.Control.Rollback(c.UserContext(), site.Actor(c), c.Params("run"))
	return created(c, r, err)
}
