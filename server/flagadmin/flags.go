// Package flagadmin is where people change flags: the pages and the API of flag sets, their
// history, schedules, keys and workers. Every change is reviewed on a page of its own before it
// is saved; nothing that was typed is lost by a refusal.
package flagadmin

import (
	"cmp"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// pages and verbs are the paths below which everything here lies. The query parameter set names a
// flag set; without it, the migration's own.
const (
	pages = "/m/:mid/flags"
	verbs = "/api/v1/migrations/:mid"
)

type handlers struct{ *site.Site }

// Routes are the rows of the route table.
func Routes(s *site.Site) []site.Route {
	h := handlers{s}
	var rows []site.Route
	for _, more := range [][]site.Route{
		h.listRoutes(), h.editRoutes(), h.historyRoutes(), h.scheduleRoutes(), h.workerRoutes(),
		h.keyRoutes(),
	} {
		rows = append(rows, more...)
	}
	return rows
}

func (h handlers) listRoutes() []site.Route {
	return []site.Route{
		site.GetShared(pages, site.ByRole, h.list),
		site.Post(pages+"/sets", site.Engineer, h.createSetForm),
		site.Post(pages+"/kill", site.Engineer, h.killForm),
		site.Get(verbs+"/flag-sets", site.Session, h.apiSets),
		site.Post(verbs+"/flag-sets", site.Engineer, h.apiCreateSet),
		site.Get(verbs+"/flags", site.Session, h.apiList),
		site.Post(verbs+"/flags/kill", site.Engineer, h.apiKill),
	}
}

// setting gathers what surrounds every page about a set.
func (h handlers) setting(
	c *fiber.Ctx, tab string,
) (migration.Migration, flagpages.FlagSetting, error) {
	m, err := h.Migration(c)
	if err != nil {
		return m, flagpages.FlagSetting{}, err
	}
	set := cmp.Or(c.FormValue("set"), c.Query("set"))
	view, err := h.Control.FlagSet(c.UserContext(), m.ID, set)
	if err != nil {
		return m, flagpages.FlagSetting{}, err
	}
	sets, err := h.Control.FlagSets(c.UserContext(), m.ID)
	return m, flagpages.FlagSetting{
		MigrationID: m.ID, Tab: tab, Sets: sets, View: view, Now: time.Now(),
		Who: site.IdentityOf(c).Who(),
	}, err
}

// page is one of the pages about a set.
type page struct {
	title   string
	notice  *ui.Notice // why something was refused; nil: nothing was
	live    bool       // it fetches itself again when flags change
	content templ.Component
}

func (h handlers) send(
	c *fiber.Ctx, m migration.Migration, setting flagpages.FlagSetting, p page,
) error {
	at := site.Place{Migration: m, Section: "flags", Title: p.title, Notice: p.notice}
	if p.live {
		at.Topics = []string{"flags", "overview"}
	}
	if !site.Safe(c.Method()) {
		// An answer to a form fetches itself again where it can be fetched.
		at.Path = flagpages.FlagsURL(m.ID, setting.Tab, setting.View.ID)
	}
	return h.Page(c, at, p.content)
}

// mayEdit refuses viewers before anything is computed for them.
func (h handlers) mayEdit(c *fiber.Ctx) error { return h.may(c, "flags-edit") }

func (h handlers) may(c *fiber.Ctx, action string) error {
	return h.MayAct(c, action, cmp.Or(c.FormValue("set"), c.Params("mid")))
}

// back leads on to a tab, so that reloading does not act again.
func back(c *fiber.Ctx, tab, set string) error {
	return c.Redirect(flagpages.FlagsURL(c.Params("mid"), tab, set), fiber.StatusSeeOther)
}

func (h handlers) list(c *fiber.Ctx) error { return h.listWith(c, nil, flagpages.NewFlagSet{}) }

func (h handlers) listWith(c *fiber.Ctx, notice *ui.Notice, typed flagpages.NewFlagSet) error {
	m, setting, err := h.setting(c, "")
	if err != nil {
		return err
	}
	v := flagpages.Flags{FlagSetting: setting, Search: c.Query("q"), NewSet: typed}
	if v.Workers, err = h.readers(c, m.ID, setting.View.ID); err != nil {
		return err
	}
	if setting.View.ID == m.ID {
		o, err := h.Control.Overview(c.UserContext(), m.ID)
		if err != nil {
			return err
		}
		v.Routing, v.Share = &o.Routing, o.Observed
	}
	return h.send(c, m, setting,
		page{"Flags", notice, true, flagpages.FlagsPage(v)})
}

func (h handlers) createSetForm(c *fiber.Ctx) error {
	typed := flagpages.NewFlagSet{
		ID: strings.TrimSpace(c.FormValue("id")), Name: c.FormValue("name"),
	}
	_, err := h.Control.CreateFlagSet(
		c.UserContext(), site.Actor(c), c.Params("mid"), typed.ID, typed.Name)
	if err != nil {
		notice, err := site.Refused(c, "The flag set was not created", err)
		if err != nil {
			return err
		}
		return h.listWith(c, notice, typed)
	}
	return back(c, "", typed.ID)
}

func (h handlers) killForm(c *fiber.Ctx) error {
	set, killed := c.FormValue("set"), c.FormValue("killed") == "true"
	_, err := h.Control.KillFlag(c.UserContext(), site.Actor(c), c.Params("mid"), set,
		c.FormValue("key"), killed, c.FormValue("reason"))
	if err != nil {
		notice, err := site.Refused(c, "The kill switch was not changed", err)
		if err != nil {
			return err
		}
		return h.listWith(c, notice, flagpages.NewFlagSet{})
	}
	return back(c, "", set)
}

func (h handlers) apiSets(c *fiber.Ctx) error {
	sets, err := h.Control.FlagSets(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.FlagSetList{Sets: site.List(sets)}, err)
}

func (h handlers) apiCreateSet(c *fiber.Ctx) error {
	var in api.NewFlagSet
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	set, err := h.Control.CreateFlagSet(
		c.UserContext(), site.Actor(c), c.Params("mid"), in.ID, in.Name)
	return site.Made(c, set, err)
}

func (h handlers) apiList(c *fiber.Ctx) error {
	v, err := h.Control.FlagSet(c.UserContext(), c.Params("mid"), c.Query("set"))
	return site.Answer(c, v, err)
}

func (h handlers) apiKill(c *fiber.Ctx) error {
	var in api.FlagKill
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	r, err := h.Control.KillFlag(c.UserContext(), site.Actor(c), c.Params("mid"),
		c.Query("set"), in.Key, in.Killed, in.Reason)
	return site.Made(c, r, err)
}
