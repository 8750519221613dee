package server

import (
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) seriesRoutes() []site.Route {
	return []site.Route{site.Get(apiMigration+"/series", site.Session, s.apiSeries)}
}

func (s *Server) apiSeries(c *fiber.Ctx) error {
	q, err := seriesQuery(c)
	if err != nil {
		return err
	}
	v, err := s.Control.Series(c.UserContext(), c.Params("mid"), q)
	return site.Answer(c, v, err)
}

func seriesQuery(c *fiber.Ctx) (q workflows.SeriesQuery, err error) {
	if names := c.Query("name"); names != "" {
		q.Names = strings.Split(strings.Clone(names), ",")
	}
	points, err := site.Whole(c, "points", workflows.SeriesPoints)
	if err != nil {
		return q, err
	}
	if points > workflows.SeriesPoints || points < 2 {
		return q, migration.Errorf(migration.Invalid,
			"points is %d: it must be from 2 to %d", points, workflows.SeriesPoints)
	}
	q.Points, q.Until = int(points), time.Now()
	if until := c.Query("until"); until != "" {
		if q.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return q, migration.Errorf(migration.Invalid,
				"until is %.40q: it must be a time such as 2026-12-01T09:30:00Z", until)
		}
	}
	since := c.Query("since", "1h")
	if r, ok := charts.FindRange(since); ok {
		q.Since = q.Until.Add(-r.Span)
		return q, nil
	}
	if q.Since, err = time.Parse(time.RFC3339, since); err != nil {
		return q, migration.Errorf(migration.Invalid,
			"since is %.40q: it must be %s, or a time such as 2026-12-01T09:30:00Z",
			since, charts.RangeNames())
	}
	return q, nil
}

// chartsOf reads what a page's charts show, of the range that its address names.
func (s *Server) chartsOf(
	c *fiber.Ctx, mid string, missing string, points int, all ...charts.Chart,
) (charts.Group, error) {
	name := c.Query("range", missing)
	r, ok := charts.FindRange(name)
	if !ok {
		return charts.Group{}, migration.Errorf(migration.Invalid,
			"range is %.40q: it must be %s", name, charts.RangeNames())
	}
	g := charts.Group{MigrationID: mid, Range: r, Points: points, Charts: all, Now: time.Now(),
		Page: strings.Clone(c.OriginalURL())}
	if c.Method() != fiber.MethodGet { // a form that was refused shows the page again
		g.Page = ""
	}
	var err error
	g.View, err = s.Control.Series(c.UserContext(), mid, workflows.SeriesQuery{
		Names: slices.Clone(g.Names()), Since: g.Now.Add(-r.Span), Until: g.Now, Points: points,
	})
	return g, err
}
