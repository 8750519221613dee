package server

import (
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) searchRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/search", site.Session, s.search),
		site.Get("/m/:mid/search/suggest", site.Session, s.suggest),
		site.Get(apiMigration+"/search", site.Session, s.apiSearch),
	}
}

// search is the page of a search: everything, jobs on both servers too.
func (s *Server) search(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	v := adminpages.Search{MigrationID: m.ID, Query: strings.TrimSpace(c.Query("q"))}
	if v.Query != "" {
		v.Result, err = s.Control.Search(c.UserContext(), site.Actor(c), m.ID, v.Query, true)
		var n *ui.Notice
		if err != nil {
			if n, err = site.Refused(c, "Not searched", err); err != nil {
				return err
			}
			v.Refused = true
		}
		at := site.Place{Migration: m, Section: "search", Title: "Search", Notice: n}
		return s.Page(c, at, adminpages.SearchPage(v))
	}
	at := site.Place{Migration: m, Section: "search", Title: "Search"}
	return s.Page(c, at, adminpages.SearchPage(v))
}

// suggest is the list that the palette shows while somebody types: what is found at once.
func (s *Server) suggest(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	query := strings.TrimSpace(c.Query("q"))
	var r workflows.SearchAnswer
	if query != "" {
		r, err = s.Control.Search(c.UserContext(), site.Actor(c), m.ID, query, false)
		if err != nil {
			return err
		}
	}
	groups, said := adminpages.Suggestions(m.ID, query, r)
	return site.Send(c, ui.Options(groups, said))
}

func (s *Server) apiSearch(c *fiber.Ctx) error {
	jobs, _ := strconv.ParseBool(c.Query("jobs"))
	r, err := s.Control.Search(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Query("q"), jobs)
	return site.Answer(c, r, err)
}
