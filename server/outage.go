package server

import (
	"io"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/outagepages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

const (
	// usualOutage is what the what-if shows before somebody asks: an automatic failover.
	usualOutage = 25 * time.Second
	// longestOutage is what the what-if takes.
	longestOutage = 30 * 24 * time.Hour
)

func (s *Server) outageRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/outage", site.ByRole, s.outage),
		site.Post("/m/:mid/replays", site.Engineer, s.replayForm),
		site.Get(apiMigration+"/outage", site.Session, s.apiOutage),
		site.Post(apiMigration+"/replays", site.Engineer, s.apiReplay),
	}
}

func (s *Server) outage(c *fiber.Ctx) error { return s.outageWith(c, nil) }

func (s *Server) outageWith(c *fiber.Ctx, n *ui.Notice) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	length, path := usualOutage, "/m/"+m.ID+"/outage"
	text := c.Query("length")
	if text != "" {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(outagepages.Lengths) {
			return migration.Errorf(migration.Invalid,
				"length %.20q is no place on the slider: 0 to %d",
				text, len(outagepages.Lengths)-1)
		}
		length = outagepages.Lengths[i]
		path += "?length=" + strconv.Itoa(i)
	}
	o, err := s.Control.Outage(c.UserContext(), m.ID, length)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "outage", Title: "Outage clock", Topics: []string{"overview"},
		Path: path, Notice: n,
	}
	return s.Page(c, at, outagepages.OutagePage(outagepages.Outage{
		MigrationID: m.ID, Outage: o, Now: time.Now(), Who: site.IdentityOf(c).Who(),
		Chosen: text != "",
	}))
}

// replayForm looks for lost events, or fetches them, and shows what came of it on the page.
func (s *Server) replayForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if err := s.MayAct(c, "replay", mid); err != nil {
		return err
	}
	in, err := replayOf(c)
	var out workflows.ReplayResult
	if err == nil {
		out, err = s.Control.ReplayLost(c.UserContext(), site.Actor(c), mid, in)
	}
	const none = "Nothing was handed over"
	if f := site.Explain(err); err != nil && f.Kind == migration.Unavailable {
		// The provider does not answer, or the ledger is behind: the way out is on this page.
		c.Status(f.Status)
		return s.outageWith(c, &ui.Notice{Title: none, Text: f.Text})
	}
	if err != nil {
		n, err := site.Refused(c, none, err)
		if err != nil {
			return err
		}
		return s.outageWith(c, n)
	}
	return s.outageWith(c, &ui.Notice{
		Title: outagepages.ReplayTitle(in, out), Text: outagepages.ReplayText(in, out),
	})
}

// replayOf reads the form: a provider, and either hours or a file.
func replayOf(c *fiber.Ctx) (workflows.Replay, error) {
	in := workflows.Replay{
		Provider: c.FormValue("provider"), Look: c.FormValue("action") != "enqueue",
	}
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
		return in, migration.Errorf(migration.Invalid,
			"hours %.20q: a whole number from 1 to 720", c.FormValue("hours"))
	}
	in.Since = time.Now().Add(-time.Duration(hours) * time.Hour)
	return in, nil
}

func (s *Server) apiOutage(c *fiber.Ctx) error {
	length, err := time.ParseDuration(c.Query("for", usualOutage.String()))
	if err != nil || length < 0 || length > longestOutage {
		return migration.Errorf(migration.Invalid, "for %.20q is no length of an outage: "+
			"a duration such as 25s or 5h, up to 720h", c.Query("for"))
	}
	o, err := s.Control.Outage(c.UserContext(), c.Params("mid"), length)
	return site.Answer(c, o, err)
}

func (s *Server) apiReplay(c *fiber.Ctx) error {
	var in workflows.Replay
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	out, err := s.Control.ReplayLost(c.UserContext(), site.Actor(c), c.Params("mid"), in)
	return site.Answer(c, out, err)
}
