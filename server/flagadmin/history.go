package flagadmin

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

const historyShown = 200

func (h handlers) historyRoutes() []site.Route {
	return []site.Route{
		site.GetShared(pages+"/history", site.ByRole, h.history),
		site.Post(pages+"/rollback", site.Engineer, h.rollbackForm),
		site.Post(pages+"/import", site.Engineer, h.importForm),
		site.Get(verbs+"/flags/history", site.Session, h.apiHistory),
		site.Get(verbs+"/flags/export", site.Session, h.apiExport),
		site.Post(verbs+"/flags/rollback", site.Engineer, h.apiRollback),
	}
}

func (h handlers) history(c *fiber.Ctx) error { return h.historyWith(c, nil, "") }

func (h handlers) historyWith(c *fiber.Ctx, notice *ui.Notice, imported string) error {
	m, setting, err := h.setting(c, "history")
	if err != nil {
		return err
	}
	before, err := site.Whole(c, "before", 0)
	if err != nil {
		return err
	}
	v := flagpages.FlagHistory{FlagSetting: setting, Before: before, Import: imported}
	v.Revisions, err = h.Control.FlagHistory(
		c.UserContext(), m.ID, setting.View.ID, before, historyShown)
	if err != nil {
		return err
	}
	if n := len(v.Revisions); n == historyShown && v.Revisions[n-1].Revision > 1 {
		v.Older = v.Revisions[n-1].Revision
	}
	return h.send(c, m, setting,
		page{"History of flags", notice, before == 0, flagpages.FlagHistoryPage(v)})
}

func (h handlers) rollbackForm(c *fiber.Ctx) error {
	if err := h.mayEdit(c); err != nil {
		return err
	}
	revision, _ := strconv.ParseInt(c.FormValue("revision"), 10, 64) // 0 is refused
	edit, err := h.Control.RollbackEdit(
		c.UserContext(), c.Params("mid"), c.FormValue("set"), revision)
	if err != nil {
		notice, err := site.Refused(c, "Nothing was rolled back", err)
		if err != nil {
			return err
		}
		return h.historyWith(c, notice, "")
	}
	return h.review(c, edit, "", nil)
}

func (h handlers) importForm(c *fiber.Ctx) error {
	if err := h.mayEdit(c); err != nil {
		return err
	}
	text := c.FormValue("document")
	if file, err := c.FormFile("file"); err == nil && file.Size > 0 {
		in, err := file.Open()
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(in, flags.MaxDocument+1))
		_ = in.Close()
		if err != nil {
			return err
		}
		text = string(raw)
	}
	if _, err := flags.Parse([]byte(text)); err != nil {
		notice, err := site.Refused(c, "The file cannot be imported", err)
		if err != nil {
			return err
		}
		return h.historyWith(c, notice, text)
	}
	edit := migration.FlagEdit{Document: json.RawMessage(text), Reason: "import"}
	return h.review(c, edit, "", nil)
}

func (h handlers) apiHistory(c *fiber.Ctx) error {
	limit, err := site.Limit(c, 50)
	if err != nil {
		return err
	}
	before, err := site.Whole(c, "before", 0)
	if err != nil {
		return err
	}
	all, err := h.Control.FlagHistory(
		c.UserContext(), c.Params("mid"), c.Query("set"), before, limit)
	return site.Answer(c, api.FlagHistory{Revisions: site.List(all)}, err)
}

// apiExport sends the whole document as a file that flagd reads.
func (h handlers) apiExport(c *fiber.Ctx) error {
	v, err := h.Control.FlagSet(c.UserContext(), c.Params("mid"), c.Query("set"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Set(fiber.HeaderContentDisposition,
		`attachment; filename="`+v.ID+"-"+strconv.FormatInt(v.Revision, 10)+`.flagd.json"`)
	return c.Send(v.Definition)
}

func (h handlers) apiRollback(c *fiber.Ctx) error {
	var in api.FlagRollback
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	r, err := h.Control.RollbackFlags(c.UserContext(), site.Actor(c), c.Params("mid"),
		c.Query("set"), in.Revision, in.Base, in.Reason)
	return site.Made(c, r, err)
}
