package flagadmin

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (h handlers) editRoutes() []site.Route {
	return []site.Route{
		site.Get(pages+"/edit", site.Session, h.edit),
		site.Post(pages+"/edit", site.Engineer, h.editForm),
		site.Post(pages+"/save", site.Engineer, h.saveForm),
		site.Post(verbs+"/flags/check", site.Session, h.apiCheck),
		site.Post(verbs+"/flags/changes", site.Engineer, h.apiEdit),
		site.Post(verbs+"/flags/evaluate", site.Session, h.apiPreview),
	}
}

// edit is the editor as it opens: for a flag that is there, or for a new one.
func (h handlers) edit(c *fiber.Ctx) error {
	m, setting, err := h.setting(c, "")
	if err != nil {
		return err
	}
	v, key := flagpages.FlagEditor{FlagSetting: setting}, c.Query("key")
	i := slices.IndexFunc(setting.View.Flags,
		func(f migration.FlagInfo) bool { return f.Key == key })
	switch {
	case key == "":
		v.Draft = newDraft(setting.View.Revision)
	case i < 0:
		return migration.Errorf(migration.NotFound,
			"flag set %s has no flag %q: look at its history for who removed it",
			setting.View.ID, key)
	default:
		f := setting.View.Flags[i]
		v.Draft, v.Managed = draftOf(key, f.Definition), f.ManagedBy
		v.Draft.Base = setting.View.Revision
	}
	return h.sendEditor(c, m, v, nil)
}

func (h handlers) sendEditor(
	c *fiber.Ctx, m migration.Migration, v flagpages.FlagEditor, notice *ui.Notice,
) error {
	return h.send(c, m, v.FlagSetting,
		page{"Edit flag", notice, false, flagpages.FlagEditorPage(v)})
}

// editForm is every button of the editor.
func (h handlers) editForm(c *fiber.Ctx) error {
	if err := h.mayEdit(c); err != nil {
		return err
	}
	m, setting, err := h.setting(c, "")
	if err != nil {
		return err
	}
	v := flagpages.FlagEditor{FlagSetting: setting, Draft: typedDraft(c)}
	again := func(title string, err error) error {
		notice, err := site.Refused(c, title, err)
		if err != nil {
			return err
		}
		return h.sendEditor(c, m, v, notice)
	}
	do := c.FormValue("do")
	switch do {
	case "more":
		v.Draft.Variants = rows(v.Draft.Variants)
		return h.sendEditor(c, m, v, nil)
	case "delete":
		removal := map[string]json.RawMessage{v.Draft.Key: json.RawMessage("null")}
		edit := migration.FlagEdit{Base: v.Draft.Base, Flags: removal}
		return h.review(c, edit, v.Draft.Key, nil)
	}
	definition, err := definitionOf(v.Draft)
	if err != nil {
		return again("The flag is not right yet", err)
	}
	switch do {
	case "switch", "back":
		d := draftOf(v.Draft.Key, definition)
		// The review leads back to the fields.
		d.AsJSON = d.AsJSON || do == "switch" && !v.Draft.AsJSON
		d.Base, d.New, d.Context = v.Draft.Base, v.Draft.New, v.Draft.Context
		v.Draft = d
		return h.sendEditor(c, m, v, nil)
	case "preview":
		if v.Preview, err = h.preview(c, m.ID, setting.View.ID, v.Draft, definition); err != nil {
			return again("There is no preview", err)
		}
		return h.sendEditor(c, m, v, nil)
	}
	if v.Draft.Key == "" {
		return again("The flag is not right yet",
			migration.Errorf(migration.Invalid, "key: is needed"))
	}
	if err := taken(setting.View, v.Draft.New, v.Draft.Key); err != nil {
		return again("The key is taken", err)
	}
	edit := migration.FlagEdit{
		Base: v.Draft.Base, Flags: map[string]json.RawMessage{v.Draft.Key: definition},
	}
	_, err = h.Control.CheckFlags(c.UserContext(), m.ID, setting.View.ID, edit)
	if err != nil && migration.KindOf(err) != migration.Conflict {
		return again("The flag is not right yet", err)
	}
	return h.review(c, edit, v.Draft.Key, nil)
}

// preview evaluates a draft as a worker would.
func (h handlers) preview(
	c *fiber.Ctx, mid, set string, d flagpages.FlagDraft, definition json.RawMessage,
) (*flagpages.FlagPreview, error) {
	evaluation := map[string]any{}
	if text := strings.TrimSpace(d.Context); text != "" {
		if err := json.Unmarshal([]byte(text), &evaluation); err != nil {
			return nil, migration.Errorf(migration.Invalid, "context: is no JSON object: %w", err)
		}
	}
	e, err := h.Control.PreviewFlag(
		c.UserContext(), mid, set, cmp.Or(d.Key, "new-flag"), definition, evaluation)
	if err != nil {
		return nil, err
	}
	p := &flagpages.FlagPreview{
		Variant: e.Variant, Reason: e.Reason,
		Error: strings.TrimSpace(e.ErrorCode + " " + e.ErrorDetails),
	}
	if e.Value != nil {
		raw, _ := json.Marshal(e.Value) // it was decoded from JSON
		p.Value = string(raw)
	} else if e.ErrorCode == "" {
		p.Value = "the code's default"
	}
	return p, nil
}

// taken refuses a new flag whose key the set has already, so that it does not silently become an
// edit of somebody else's flag.
func taken(set migration.FlagSetView, isNew bool, key string) error {
	same := func(f migration.FlagInfo) bool { return f.Key == key }
	if isNew && slices.ContainsFunc(set.Flags, same) {
		return migration.Errorf(migration.Conflict, "key: flag set %s already has a flag %q: "+
			"choose another key, or open that flag and edit it", set.ID, key)
	}
	return nil
}

// review shows what an edit would do against the set as it is now, also when others have changed
// it since the edit was begun.
func (h handlers) review(
	c *fiber.Ctx, edit migration.FlagEdit, key string, notice *ui.Notice,
) error {
	m, setting, err := h.setting(c, "")
	if err != nil {
		return err
	}
	v := flagpages.FlagReview{
		FlagSetting: setting, Key: key, Reason: cmp.Or(c.FormValue("reason"), edit.Reason),
		At: c.FormValue("at"), New: c.FormValue("new") == "true", Context: c.FormValue("context"),
	}
	if edit.Base > 0 && edit.Base < setting.View.Revision {
		since := int(min(setting.View.Revision-edit.Base, historyShown))
		v.Theirs, err = h.Control.FlagHistory(c.UserContext(), m.ID, setting.View.ID, 0, since)
		if err != nil {
			return err
		}
	}
	edit.Base = setting.View.Revision // what is shown here is what is saved
	if err = taken(setting.View, v.New, key); err != nil {
		notice = nil // that others were faster is less than what they made
	} else {
		v.Check, err = h.Control.CheckFlags(c.UserContext(), m.ID, setting.View.ID, edit)
	}
	if err != nil {
		why, refusal := site.Refused(c, "This cannot be saved", err)
		if refusal != nil {
			return refusal
		}
		notice = cmp.Or(notice, why)
		v.Check.Base = edit.Base
	}
	raw, err := json.Marshal(edit)
	if err != nil {
		return err
	}
	v.Edit = string(raw)
	if d := edit.Flags[key]; len(d) > 0 && string(d) != "null" {
		v.Draft = string(d)
	}
	return h.send(c, m, setting,
		page{"Review", notice, false, flagpages.FlagReviewPage(v)})
}

// saveForm saves a reviewed change, or schedules it.
func (h handlers) saveForm(c *fiber.Ctx) error {
	if err := h.mayEdit(c); err != nil {
		return err
	}
	var edit migration.FlagEdit
	if err := json.Unmarshal([]byte(c.FormValue("edit")), &edit); err != nil {
		return migration.Errorf(migration.Invalid,
			"the change that was reviewed is not readable: %w", err)
	}
	edit.Reason = c.FormValue("reason")
	mid, set, actor := c.Params("mid"), c.FormValue("set"), site.Actor(c)
	tab, title := "", "The change was not saved"
	var err error
	if c.FormValue("do") == "schedule" {
		tab, title = "schedules", "The change was not scheduled"
		var at time.Time
		if at, err = time.Parse(localTime, c.FormValue("at")); err != nil {
			err = migration.Errorf(migration.Invalid, "at: choose a time, in UTC")
		} else {
			_, err = h.Control.ScheduleFlags(c.UserContext(), actor, mid,
				migration.FlagSchedule{Set: set, At: at, Edit: &edit})
		}
	} else {
		_, err = h.Control.EditFlags(c.UserContext(), actor, mid, set, edit)
	}
	if err != nil {
		notice, err := site.Refused(c, title, err)
		if err != nil {
			return err
		}
		return h.review(c, edit, c.FormValue("key"), notice)
	}
	return back(c, tab, set)
}

func (h handlers) apiCheck(c *fiber.Ctx) error {
	var in migration.FlagEdit
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	check, err := h.Control.CheckFlags(c.UserContext(), c.Params("mid"), c.Query("set"), in)
	return site.Answer(c, check, err)
}

func (h handlers) apiEdit(c *fiber.Ctx) error {
	var in migration.FlagEdit
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	r, err := h.Control.EditFlags(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Query("set"), in)
	return site.Made(c, r, err)
}

func (h handlers) apiPreview(c *fiber.Ctx) error {
	var in api.FlagPreview
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	e, err := h.Control.PreviewFlag(c.UserContext(), c.Params("mid"), c.Query("set"), in.Key,
		in.Definition, in.Context)
	return site.Answer(c, e, err)
}
