package server

import (
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows"
)

// unescaped is a part of the path as it was meant: names of queues may hold colons and slashes.
func unescaped(part string) string {
	if s, err := url.PathUnescape(part); err == nil {
		return s
	}
	return part
}

func (s *Server) cutoverReport(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	r, err := s.control.CutoverReport(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "queues", title: "If we cut over now", topics: []string{"queues"}}, web.CutoverReportPage(web.CutoverReport{MigrationID: m.ID, Report: r, Now: time.Now()}))
}

func (s *Server) queue(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	d, err := s.control.Queue(c.UserContext(), m.ID, unescaped(c.Params("queue")))
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "queues", title: d.Queue, topics: []string{"queues"}}, web.QueuePage(web.QueueDetail{MigrationID: m.ID, Detail: d, Now: time.Now()}))
}

func (s *Server) jobs(c *fiber.Ctx) error { return s.jobsWith(c, c.Query("id"), nil) }

func (s *Server) jobsWith(c *fiber.Ctx, id string, n *web.Notice) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	who := identityOf(c)
	v := web.Jobs{MigrationID: m.ID, ID: id, Who: who.who(), Notice: n, Done: c.Query("done")}
	if v.ID != "" {
		if v.Found, err = s.control.FindJobs(c.UserContext(), who.Actor, m.ID, v.ID); err != nil {
			return err
		}
	}
	return s.page(c, place{migration: m, section: "queues", title: "Find a job"}, web.JobsPage(v))
}

// jobSearchForm looks through the data of jobs. It is a POST, although it changes nothing: what is looked for is personal data, and addresses end up in
// histories and logs.
func (s *Server) jobSearchForm(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	in := workflows.JobSearch{Field: c.FormValue("field"), Value: c.FormValue("value"), Queue: c.FormValue("queue")}
	for _, side := range []string{"source", "target"} {
		if after := c.FormValue("after_" + side); after != "" {
			if in.After == nil {
				in.After = map[string]string{}
			}
			in.After[side] = after
		}
	}
	who := identityOf(c)
	v := web.Jobs{MigrationID: m.ID, Who: who.who(), Search: in}
	found, err := s.control.SearchJobs(c.UserContext(), who.Actor, m.ID, in)
	if err == nil {
		v.Matches = &found
	} else if v.Notice, err = refused(c, "Not searched", err); err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "queues", title: "Find a job"}, web.JobsPage(v))
}

func (s *Server) jobForm(c *fiber.Ctx) error {
	in := workflows.JobChange{Side: c.FormValue("side"), Queue: c.FormValue("queue"), ID: c.FormValue("id"), Action: bullmq.JobAction(c.FormValue("action")), Reason: c.FormValue("reason")}
	if err := s.control.ChangeJob(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in); err != nil {
		n, err := refused(c, "The job stays as it is", err)
		if err != nil {
			return err
		}
		return s.jobsWith(c, in.ID, n)
	}
	q := url.Values{"id": {in.ID}, "done": {string(in.Action)}}
	return c.Redirect("/m/"+url.PathEscape(c.Params("mid"))+"/jobs?"+q.Encode(), fiber.StatusSeeOther)
}
