package server

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Forms act and lead on with 303, so that reloading does not act again. A refusal shows the page they came from with the reason on top,
// what was typed still there, and the status of the refusal. They need no JavaScript.

func (s *Server) startForm(c *fiber.Ctx) error {
	p, err := params(c.FormValue("to"), c.FormValue("ramp"))
	if err != nil {
		return err
	}
	r, err := s.control.Start(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Params("step"), p, c.FormValue("plan_hash"))
	if err != nil {
		n, err := refused(c, "Not started", err)
		if err != nil {
			return err
		}
		return s.stepPage(c, p, n)
	}
	return toRun(c, r)
}

func (s *Server) approveForm(c *fiber.Ctx) error { return s.decideForm(c, true, "Not approved") }
func (s *Server) rejectForm(c *fiber.Ctx) error  { return s.decideForm(c, false, "Not rejected") }

func (s *Server) decideForm(c *fiber.Ctx, approve bool, title string) error {
	d := workflows.Decision{Approve: approve, Comment: c.FormValue("comment"), ConfirmName: c.FormValue("confirm_name"), PlanHash: c.FormValue("plan_hash"), Action: c.FormValue("action")}
	r, err := s.control.Decide(c.UserContext(), identityOf(c).Actor, c.Params("run"), d)
	return s.afterForm(c, r, err, title, web.Draft{Comment: d.Comment, ConfirmName: d.ConfirmName})
}

func (s *Server) pauseForm(c *fiber.Ctx) error {
	r, err := s.control.Pause(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return s.afterForm(c, r, err, "Not paused", web.Draft{})
}

func (s *Server) resumeForm(c *fiber.Ctx) error {
	r, err := s.control.Resume(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return s.afterForm(c, r, err, "Not resumed", web.Draft{})
}

func (s *Server) cancelForm(c *fiber.Ctx) error {
	r, err := s.control.Cancel(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return s.afterForm(c, r, err, "Not cancelled", web.Draft{})
}

func (s *Server) rollbackForm(c *fiber.Ctx) error {
	r, err := s.control.Rollback(c.UserContext(), identityOf(c).Actor, c.Params("run"))
	return s.afterForm(c, r, err, "Not rolled back", web.Draft{})
}

func (s *Server) afterForm(c *fiber.Ctx, r migration.Run, err error, title string, draft web.Draft) error {
	if err == nil {
		return toRun(c, r)
	}
	n, err := refused(c, title, err)
	if err != nil {
		return err
	}
	return s.runPage(c, n, draft)
}

// refused turns an error into a notice on the page, where a person can do something about it; every other error is returned.
// What a form named and is gone is such a notice, too: the page shows what there is instead, and is itself not found where it is what is gone.
func refused(c *fiber.Ctx, title string, err error) (*web.Notice, error) {
	f := explain(err)
	switch f.kind {
	case migration.Invalid, migration.Conflict, migration.Blocked, migration.NotFound:
		c.Status(f.status)
		return &web.Notice{Title: title, Text: f.text, Gates: f.gates}, nil
	case migration.Forbidden, migration.Unauthenticated, migration.Unavailable, migration.Internal:
	}
	return nil, err
}

func toRun(c *fiber.Ctx, r migration.Run) error {
	return c.Redirect("/m/"+r.MigrationID+"/runs/"+r.ID, http.StatusSeeOther)
}
