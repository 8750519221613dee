package server

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) jobRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/jobs", site.Session, s.jobs),
		site.Post("/m/:mid/jobs", site.Engineer, s.jobForm),
		site.Post("/m/:mid/jobs/search", site.Engineer, s.jobSearchForm),
		site.Get(apiMigration+"/jobs", site.Session, s.apiJobs),
		site.Post(apiMigration+"/jobs", site.Engineer, s.apiChangeJob),
		site.Post(apiMigration+"/jobs/search", site.Engineer, s.apiSearchJobs),
	}
}

func (s *Server) jobs(c *fiber.Ctx) error { return s.jobsWith(c, c.Query("id"), nil) }

func (s *Server) jobsWith(c *fiber.Ctx, id string, n *ui.Notice) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	who := site.IdentityOf(c)
	v := queuepages.Jobs{
		MigrationID: m.ID, ID: id, Who: who.Who(), Notice: n, Done: c.Query("done"),
	}
	if v.ID != "" {
		v.Found, err = s.Control.FindJobs(c.UserContext(), who.Actor, m.ID, v.ID)
		if err != nil {
			return err
		}
	}
	return s.jobsPage(c, m, v)
}

func (s *Server) jobsPage(c *fiber.Ctx, m migration.Migration, v queuepages.Jobs) error {
	at := site.Place{Migration: m, Section: "queues", Title: "Find a job"}
	return s.Page(c, at, queuepages.JobsPage(v))
}

// jobSearchForm looks through the data of jobs. It is a POST, although it changes nothing: what is
// looked for is personal data, and addresses end up in histories and logs.
func (s *Server) jobSearchForm(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	in := workflows.JobSearch{
		Field: c.FormValue("field"), Value: c.FormValue("value"), Queue: c.FormValue("queue"),
	}
	for _, side := range []string{"source", "target"} {
		if after := c.FormValue("after_" + side); after != "" {
			if in.After == nil {
				in.After = map[string]string{}
			}
			in.After[side] = after
		}
	}
	who := site.IdentityOf(c)
	v := queuepages.Jobs{MigrationID: m.ID, Who: who.Who(), Search: in}
	found, err := s.Control.SearchJobs(c.UserContext(), who.Actor, m.ID, in)
	if err == nil {
		v.Matches = &found
	} else if v.Notice, err = site.Refused(c, "Not searched", err); err != nil {
		return err
	}
	return s.jobsPage(c, m, v)
}

func (s *Server) jobForm(c *fiber.Ctx) error {
	in := workflows.JobChange{
		Side: c.FormValue("side"), Queue: c.FormValue("queue"), ID: c.FormValue("id"),
		Action: bullmq.JobAction(c.FormValue("action")), Reason: c.FormValue("reason"),
	}
	err := s.Control.ChangeJob(c.UserContext(), site.Actor(c), c.Params("mid"), in)
	if err != nil {
		n, err := site.Refused(c, "The job was not changed", err)
		if err != nil {
			return err
		}
		return s.jobsWith(c, in.ID, n)
	}
	q := url.Values{"id": {in.ID}, "done": {string(in.Action)}}
	return c.Redirect(ui.URL(c.Params("mid"), "jobs")+"?"+q.Encode(), fiber.StatusSeeOther)
}

func (s *Server) apiJobs(c *fiber.Ctx) error {
	found, err := s.Control.FindJobs(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Query("id"))
	return site.Answer(c, found, err)
}

func (s *Server) apiSearchJobs(c *fiber.Ctx) error {
	var in api.JobSearch
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	found, err := s.Control.SearchJobs(c.UserContext(), site.Actor(c), c.Params("mid"), in)
	return site.Answer(c, found, err)
}

func (s *Server) apiChangeJob(c *fiber.Ctx) error {
	var in api.JobChange
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	return site.Done(c,
		s.Control.ChangeJob(c.UserContext(), site.Actor(c), c.Params("mid"), in))
}
