package server

import (
	"io"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows"
)

// usualOutage is what the what-if shows before somebody asks: an automatic failover.
const usualOutage = 25 * time.Second

func (s *Server) outage(c *fiber.Ctx) error { return s.outageWith(c, nil) }

func (s *Server) outageWith(c *fiber.Ctx, n *web.Notice) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	length := usualOutage
	if text := c.Query("length"); text != "" {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(web.Lengths) {
			return migration.Errorf(migration.Invalid, "length %.20q is no place on the slider: 0 to %d", text, len(web.Lengths)-1)
		}
		length = web.Lengths[i]
	}
	o, err := s.control.Outage(c.UserContext(), m.ID, length)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "outage", title: "Outage clock", topics: []string{"overview"}, path: "/m/" + m.ID + "/outage", notice: n},
		web.OutagePage(web.Outage{MigrationID: m.ID, Outage: o, Now: time.Now(), Who: identityOf(c).who()}))
}

func (s *Server) apiOutage(c *fiber.Ctx) error {
	length, err := time.ParseDuration(c.Query("for", usualOutage.String()))
	if err != nil || length < 0 || length > 30*24*time.Hour {
		return migration.Errorf(migration.Invalid, "for %.20q is no length of an outage: a duration such as 25s or 5h, up to 720h", c.Query("for"))
	}
	o, err := s.control.Outage(c.UserContext(), c.Params("mid"), length)
	return answer(c, o, err)
}

func (s *Server) apiReplay(c *fiber.Ctx) error {
	var in workflows.Replay
	if err := decode(c, &in); err != nil {
		return err
	}
	out, err := s.control.ReplayLost(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in)
	return answer(c, out, err)
}

// replayForm looks for lost events, or fetches them, and shows what came of it on the page.
func (s *Server) replayForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if err := s.mayAct(c, "replay", mid); err != nil {
		return err
	}
	in, err := replayOf(c)
	var out workflows.ReplayResult
	if err == nil {
		out, err = s.control.ReplayLost(c.UserContext(), identityOf(c).Actor, mid, in)
	}
	const none = "Nothing was handed over"
	if f := explain(err); err != nil && f.kind == migration.Unavailable { // the provider does not answer, or the ledger is behind: the way out is on this page
		c.Status(f.status)
		return s.outageWith(c, &web.Notice{Title: none, Text: f.text})
	}
	if err != nil {
		n, err := refused(c, none, err)
		if err != nil {
			return err
		}
		return s.outageWith(c, n)
	}
	return s.outageWith(c, &web.Notice{Title: web.ReplayTitle(in, out), Text: web.ReplayText(in, out)})
}

// replayOf reads the form: a provider, and either hours or a file.
func replayOf(c *fiber.Ctx) (workflows.Replay, error) {
	in := workflows.Replay{Provider: c.FormValue("provider"), Look: c.FormValue("action") != "enqueue"}
	if h, err := c.FormFile("events"); err == nil { // otherwise none was chosen
		f, err := h.Open()
		if err != nil {
			return in, err
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		if err != nil {
			return in, err
		}
		in.Events, err = workflows.ReadEvents(in.Provider, text)
		return in, err
	}
	hours, err := strconv.Atoi(c.FormValue("hours"))
	if err != nil || hours < 1 || hours > 720 {
		return in, migration.Errorf(migration.Invalid, "hours %.20q: a whole number from 1 to 720", c.FormValue("hours"))
	}
	in.Since = time.Now().Add(-time.Duration(hours) * time.Hour)
	return in, nil
}
