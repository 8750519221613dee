package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
)

// The pages about flags. Every change is reviewed on a page of its own before it is saved; nothing that was typed is lost by a refusal.

// localTime is how browsers send <input type="datetime-local">; the pages say that it is UTC.
const localTime = "2006-01-02T15:04"

// flagSetting gathers what surrounds every page about a set.
func (s *Server) flagSetting(c *fiber.Ctx, tab string) (migration.Migration, web.FlagSetting, error) {
	m, err := s.migration(c)
	if err != nil {
		return m, web.FlagSetting{}, err
	}
	set := cmp.Or(c.FormValue("set"), c.Query("set"))
	view, err := s.control.FlagSet(c.UserContext(), m.ID, set)
	if err != nil {
		return m, web.FlagSetting{}, err
	}
	sets, err := s.control.FlagSets(c.UserContext(), m.ID)
	return m, web.FlagSetting{MigrationID: m.ID, Tab: tab, Sets: sets, View: view, Now: time.Now(), Who: identityOf(c).who()}, err
}

// flagPage sends one of the pages; notice says why something was refused, nil for none.
func (s *Server) flagPage(c *fiber.Ctx, m migration.Migration, setting web.FlagSetting, title string, notice *web.Notice, live bool, page templ.Component) error {
	p := place{migration: m, section: "flags", title: title, notice: notice}
	if live {
		p.topics = []string{"flags", "overview"}
	}
	if !safe(c.Method()) { // an answer to a form fetches itself again where it can be fetched
		p.path = web.FlagsURL(m.ID, setting.Tab, setting.View.ID)
	}
	return s.page(c, p, page)
}

func (s *Server) flags(c *fiber.Ctx) error { return s.flagsWith(c, nil, web.NewFlagSet{}) }

func (s *Server) flagsWith(c *fiber.Ctx, notice *web.Notice, typed web.NewFlagSet) error {
	m, setting, err := s.flagSetting(c, "")
	if err != nil {
		return err
	}
	v := web.Flags{FlagSetting: setting, Search: c.Query("q"), NewSet: typed}
	if v.Workers, err = s.flagReaders(c, m.ID, setting.View.ID); err != nil {
		return err
	}
	if setting.View.ID == m.ID {
		o, err := s.control.Overview(c.UserContext(), m.ID)
		if err != nil {
			return err
		}
		v.Routing, v.Share = &o.Routing, o.Observed
	}
	return s.flagPage(c, m, setting, "Flags", notice, true, web.FlagsPage(v))
}

// flagReaders lists who reads a set.
func (s *Server) flagReaders(c *fiber.Ctx, mid, set string) ([]web.Worker, error) {
	all, err := s.control.Workers(c.UserContext(), mid)
	var out []web.Worker
	for _, w := range all {
		if w.Set != set {
			continue
		}
		var said struct {
			LastKnownGood bool `json:"lastKnownGood"`
		}
		_ = json.Unmarshal(w.Attestation, &said) // absent: it did not say
		out = append(out, web.Worker{Worker: w, LastKnownGood: said.LastKnownGood})
	}
	return out, err
}

func (s *Server) flagWorkers(c *fiber.Ctx) error {
	m, setting, err := s.flagSetting(c, "workers")
	if err != nil {
		return err
	}
	v := web.FlagWorkers{FlagSetting: setting}
	if v.Workers, err = s.flagReaders(c, m.ID, setting.View.ID); err != nil {
		return err
	}
	return s.flagPage(c, m, setting, "Workers", nil, true, web.FlagWorkersPage(v))
}

func (s *Server) flagSetForm(c *fiber.Ctx) error {
	typed := web.NewFlagSet{ID: strings.TrimSpace(c.FormValue("id")), Name: c.FormValue("name")}
	if _, err := s.control.CreateFlagSet(c.UserContext(), identityOf(c).Actor, c.Params("mid"), typed.ID, typed.Name); err != nil {
		notice, err := refused(c, "The flag set was not made", err)
		if err != nil {
			return err
		}
		return s.flagsWith(c, notice, typed)
	}
	return c.Redirect(web.FlagsURL(c.Params("mid"), "", typed.ID), fiber.StatusSeeOther)
}

func (s *Server) flagKillForm(c *fiber.Ctx) error {
	killed := c.FormValue("killed") == "true"
	_, err := s.control.KillFlag(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.FormValue("set"), c.FormValue("key"), killed, c.FormValue("reason"))
	if err != nil {
		notice, err := refused(c, "The switch stays as it is", err)
		if err != nil {
			return err
		}
		return s.flagsWith(c, notice, web.NewFlagSet{})
	}
	return c.Redirect(web.FlagsURL(c.Params("mid"), "", c.FormValue("set")), fiber.StatusSeeOther)
}

// flagEdit is the editor as it opens: for a flag that is there, or for a new one.
func (s *Server) flagEdit(c *fiber.Ctx) error {
	m, setting, err := s.flagSetting(c, "")
	if err != nil {
		return err
	}
	v := web.FlagEditor{FlagSetting: setting}
	key := c.Query("key")
	i := slices.IndexFunc(setting.View.Flags, func(f migration.FlagInfo) bool { return f.Key == key })
	switch {
	case key == "":
		v.Draft = web.FlagDraft{New: true, State: "ENABLED", Base: setting.View.Revision, Default: "off", Variants: rows([]web.VariantRow{{Name: "on", Value: "true"}, {Name: "off", Value: "false"}})}
	case i < 0:
		return migration.Errorf(migration.NotFound, "flag set %s has no flag %q: look at its history for who removed it", setting.View.ID, key)
	default:
		f := setting.View.Flags[i]
		v.Draft, v.Managed = draftOf(key, f.Definition), f.ManagedBy
		v.Draft.Base = setting.View.Revision
	}
	return s.flagPage(c, m, setting, "Edit flag", nil, false, web.FlagEditorPage(v))
}

// rows gives at least two empty lines to type into.
func rows(r []web.VariantRow) []web.VariantRow {
	return append(slices.Clip(r), web.VariantRow{}, web.VariantRow{})
}

// draftOf spreads a definition over the form's fields.
func draftOf(key string, definition []byte) web.FlagDraft {
	var indented bytes.Buffer
	if json.Indent(&indented, definition, "", "  ") != nil {
		indented.Reset()
		indented.Write(definition)
	}
	d := web.FlagDraft{Key: key, Raw: indented.String(), Definition: string(definition), State: "ENABLED"}
	var f flags.Flag
	if json.Unmarshal(definition, &f) != nil {
		d.AsJSON = true // only as text can it be repaired
		return d
	}
	text := func(name string) string { v, _ := f.Metadata[name].(string); return v }
	d.State, d.Type, d.Owner, d.Description = cmp.Or(f.State, "ENABLED"), text(flags.MetaType), text("owner"), text("description")
	d.Permanent, _ = f.Metadata["permanent"].(bool)
	if f.DefaultVariant != nil {
		d.Default = *f.DefaultVariant
	}
	if rule := strings.TrimSpace(string(f.Targeting)); rule != "" && rule != "null" && rule != "{}" {
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, f.Targeting, "", "  ") // it was parsed
		d.Targeting = pretty.String()
	}
	var names []string
	for name := range f.Variants {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		d.Variants = append(d.Variants, web.VariantRow{Name: name, Value: string(f.Variants[name])})
	}
	d.Variants = rows(d.Variants)
	return d
}

// typedDraft reads the editor's form back.
func typedDraft(c *fiber.Ctx) web.FlagDraft {
	base, _ := strconv.ParseInt(c.FormValue("base"), 10, 64) // 0 checks no base
	d := web.FlagDraft{Key: strings.TrimSpace(c.FormValue("key")), State: c.FormValue("state"), Default: strings.TrimSpace(c.FormValue("default")), Targeting: c.FormValue("targeting"),
		Type: c.FormValue("type"), Owner: c.FormValue("owner"), Description: c.FormValue("description"), Permanent: c.FormValue("permanent") == "true",
		Raw: c.FormValue("raw"), AsJSON: c.FormValue("as") == "json", Definition: c.FormValue("definition"), Base: base, New: c.FormValue("new") == "true", Context: c.FormValue("context")}
	names, values := c.Request().PostArgs().PeekMulti("variant_name"), c.Request().PostArgs().PeekMulti("variant_value")
	for i := range min(len(names), len(values)) {
		d.Variants = append(d.Variants, web.VariantRow{Name: string(names[i]), Value: string(values[i])})
	}
	return d
}

// definitionOf makes a definition of what was typed. What the fields do not show is taken from the definition the draft began with.
func definitionOf(d web.FlagDraft) (json.RawMessage, error) {
	if d.AsJSON {
		if !json.Valid([]byte(d.Raw)) {
			return nil, migration.Errorf(migration.Invalid, "the definition is not valid JSON")
		}
		return json.RawMessage(d.Raw), nil
	}
	var f flags.Flag
	if d.Definition != "" {
		if err := json.Unmarshal([]byte(d.Definition), &f); err != nil {
			return nil, migration.Errorf(migration.Invalid, "the definition that was edited is not readable: %w", err)
		}
	}
	f.State, f.Variants, f.DefaultVariant, f.Targeting = d.State, map[string]json.RawMessage{}, nil, nil
	for _, r := range d.Variants {
		name, value := strings.TrimSpace(r.Name), strings.TrimSpace(r.Value)
		if name == "" && value == "" {
			continue
		}
		if !json.Valid([]byte(value)) {
			return nil, migration.Errorf(migration.Invalid, "variants.%s: %q is not JSON; text needs quotes", name, value)
		}
		if f.Variants[name] != nil {
			return nil, migration.Errorf(migration.Invalid, "variants.%s: is there twice", name)
		}
		f.Variants[name] = json.RawMessage(value)
	}
	if d.Default != "" {
		f.DefaultVariant = &d.Default
	}
	if rule := strings.TrimSpace(d.Targeting); rule != "" {
		if !json.Valid([]byte(rule)) {
			return nil, migration.Errorf(migration.Invalid, "targeting: is not valid JSON")
		}
		f.Targeting = json.RawMessage(rule)
	}
	if f.Metadata == nil {
		f.Metadata = map[string]any{}
	}
	for name, value := range map[string]string{flags.MetaType: d.Type, "owner": strings.TrimSpace(d.Owner), "description": strings.TrimSpace(d.Description)} {
		if delete(f.Metadata, name); value != "" {
			f.Metadata[name] = value
		}
	}
	if delete(f.Metadata, "permanent"); d.Permanent {
		f.Metadata["permanent"] = true
	}
	return json.Marshal(f)
}

// flagEditForm is every button of the editor.
func (s *Server) flagEditForm(c *fiber.Ctx) error {
	if err := s.mayAct(c, "flags-edit", c.FormValue("set")); err != nil {
		return err
	}
	m, setting, err := s.flagSetting(c, "")
	if err != nil {
		return err
	}
	v := web.FlagEditor{FlagSetting: setting, Draft: typedDraft(c)}
	again := func(title string, err error) error {
		notice, err := refused(c, title, err)
		if err != nil {
			return err
		}
		return s.flagPage(c, m, setting, "Edit flag", notice, false, web.FlagEditorPage(v))
	}
	do := c.FormValue("do")
	if do == "more" {
		v.Draft.Variants = rows(v.Draft.Variants)
		return s.flagPage(c, m, setting, "Edit flag", nil, false, web.FlagEditorPage(v))
	}
	if do == "delete" {
		return s.flagReview(c, migration.FlagEdit{Base: v.Draft.Base, Flags: map[string]json.RawMessage{v.Draft.Key: json.RawMessage("null")}}, v.Draft.Key, nil)
	}
	definition, err := definitionOf(v.Draft)
	if err != nil {
		return again("The flag is not right yet", err)
	}
	switch do {
	case "switch", "back":
		d := draftOf(v.Draft.Key, definition)
		d.AsJSON = d.AsJSON || do == "switch" && !v.Draft.AsJSON // the review leads back to the fields
		d.Base, d.New, d.Context = v.Draft.Base, v.Draft.New, v.Draft.Context
		v.Draft = d
		return s.flagPage(c, m, setting, "Edit flag", nil, false, web.FlagEditorPage(v))
	case "preview":
		evaluation := map[string]any{}
		if text := strings.TrimSpace(v.Draft.Context); text != "" {
			if err := json.Unmarshal([]byte(text), &evaluation); err != nil {
				return again("The context is no JSON object", migration.Errorf(migration.Invalid, "context: %w", err))
			}
		}
		e, err := s.control.PreviewFlag(c.UserContext(), m.ID, setting.View.ID, cmp.Or(v.Draft.Key, "new-flag"), definition, evaluation)
		if err != nil {
			return again("There is no preview", err)
		}
		v.Preview = &web.FlagPreview{Variant: e.Variant, Reason: e.Reason, Error: strings.TrimSpace(e.ErrorCode + " " + e.ErrorDetails)}
		if e.Value != nil {
			raw, _ := json.Marshal(e.Value) // it was decoded from JSON
			v.Preview.Value = string(raw)
		} else if e.ErrorCode == "" {
			v.Preview.Value = "the code's default"
		}
		return s.flagPage(c, m, setting, "Edit flag", nil, false, web.FlagEditorPage(v))
	}
	if v.Draft.Key == "" {
		return again("The flag is not right yet", migration.Errorf(migration.Invalid, "key: is needed"))
	}
	if err := taken(setting.View, v.Draft.New, v.Draft.Key); err != nil {
		return again("The key is taken", err)
	}
	edit := migration.FlagEdit{Base: v.Draft.Base, Flags: map[string]json.RawMessage{v.Draft.Key: definition}}
	if _, err := s.control.CheckFlags(c.UserContext(), m.ID, setting.View.ID, edit); err != nil && migration.KindOf(err) != migration.Conflict {
		return again("The flag is not right yet", err)
	}
	return s.flagReview(c, edit, v.Draft.Key, nil)
}

// taken refuses a new flag whose key the set has already, so that it does not silently become an edit of somebody else's flag.
func taken(set migration.FlagSetView, isNew bool, key string) error {
	if isNew && slices.ContainsFunc(set.Flags, func(f migration.FlagInfo) bool { return f.Key == key }) {
		return migration.Errorf(migration.Conflict, "key: flag set %s already has a flag %q: choose another key, or open that flag and edit it", set.ID, key)
	}
	return nil
}

// mayAct refuses viewers before anything is computed for them, and keeps who tried; Control would refuse the change itself.
func (s *Server) mayAct(c *fiber.Ctx, action, set string) error {
	return s.control.MayAct(c.UserContext(), identityOf(c).Actor, action, cmp.Or(set, c.Params("mid")))
}

// flagReview shows what an edit would do against the set as it is now, also when others have changed it since the edit was begun.
func (s *Server) flagReview(c *fiber.Ctx, edit migration.FlagEdit, key string, notice *web.Notice) error {
	m, setting, err := s.flagSetting(c, "")
	if err != nil {
		return err
	}
	v := web.FlagReview{FlagSetting: setting, Key: key, Reason: cmp.Or(c.FormValue("reason"), edit.Reason), At: c.FormValue("at"),
		New: c.FormValue("new") == "true", Context: c.FormValue("context")}
	if edit.Base > 0 && edit.Base < setting.View.Revision {
		theirs, err := s.control.FlagHistory(c.UserContext(), m.ID, setting.View.ID, 0, int(min(setting.View.Revision-edit.Base, historyShown)))
		if err != nil {
			return err
		}
		v.Theirs = theirs
	}
	edit.Base = setting.View.Revision // what is shown here is what is saved
	if err = taken(setting.View, v.New, key); err != nil {
		notice = nil // that others were faster is less than what they made
	} else {
		v.Check, err = s.control.CheckFlags(c.UserContext(), m.ID, setting.View.ID, edit)
	}
	if err != nil {
		why, refusal := refused(c, "This cannot be saved", err)
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
	return s.flagPage(c, m, setting, "Review", notice, false, web.FlagReviewPage(v))
}

// flagSaveForm saves a reviewed change, or schedules it.
func (s *Server) flagSaveForm(c *fiber.Ctx) error {
	if err := s.mayAct(c, "flags-edit", c.FormValue("set")); err != nil {
		return err
	}
	var edit migration.FlagEdit
	if err := json.Unmarshal([]byte(c.FormValue("edit")), &edit); err != nil {
		return migration.Errorf(migration.Invalid, "the change that was reviewed is not readable: %w", err)
	}
	edit.Reason = c.FormValue("reason")
	mid, set, actor := c.Params("mid"), c.FormValue("set"), identityOf(c).Actor
	tab, title := "", "The change was not saved"
	var err error
	if c.FormValue("do") == "schedule" {
		tab, title = "schedules", "The change was not scheduled"
		var at time.Time
		if at, err = time.Parse(localTime, c.FormValue("at")); err != nil {
			err = migration.Errorf(migration.Invalid, "at: choose a time, in UTC")
		} else {
			_, err = s.control.ScheduleFlags(c.UserContext(), actor, mid, migration.FlagSchedule{Set: set, At: at, Edit: &edit})
		}
	} else {
		_, err = s.control.EditFlags(c.UserContext(), actor, mid, set, edit)
	}
	if err != nil {
		notice, err := refused(c, title, err)
		if err != nil {
			return err
		}
		return s.flagReview(c, edit, c.FormValue("key"), notice)
	}
	return c.Redirect(web.FlagsURL(mid, tab, set), fiber.StatusSeeOther)
}

func (s *Server) flagHistory(c *fiber.Ctx) error { return s.flagHistoryWith(c, nil, "") }

func (s *Server) flagHistoryWith(c *fiber.Ctx, notice *web.Notice, imported string) error {
	m, setting, err := s.flagSetting(c, "history")
	if err != nil {
		return err
	}
	before, err := whole(c, "before", 0)
	if err != nil {
		return err
	}
	v := web.FlagHistory{FlagSetting: setting, Before: before, Import: imported}
	if v.Revisions, err = s.control.FlagHistory(c.UserContext(), m.ID, setting.View.ID, before, historyShown); err != nil {
		return err
	}
	if n := len(v.Revisions); n == historyShown && v.Revisions[n-1].Revision > 1 {
		v.Older = v.Revisions[n-1].Revision
	}
	return s.flagPage(c, m, setting, "History of flags", notice, before == 0, web.FlagHistoryPage(v))
}

func (s *Server) flagRollbackForm(c *fiber.Ctx) error {
	if err := s.mayAct(c, "flags-edit", c.FormValue("set")); err != nil {
		return err
	}
	revision, _ := strconv.ParseInt(c.FormValue("revision"), 10, 64) // 0 is refused
	edit, err := s.control.RollbackEdit(c.UserContext(), c.Params("mid"), c.FormValue("set"), revision)
	if err != nil {
		notice, err := refused(c, "Nothing was rolled back", err)
		if err != nil {
			return err
		}
		return s.flagHistoryWith(c, notice, "")
	}
	return s.flagReview(c, edit, "", nil)
}

func (s *Server) flagImportForm(c *fiber.Ctx) error {
	if err := s.mayAct(c, "flags-edit", c.FormValue("set")); err != nil {
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
	_, err := flags.Parse([]byte(text))
	if err != nil {
		notice, err := refused(c, "The file cannot be imported", err)
		if err != nil {
			return err
		}
		return s.flagHistoryWith(c, notice, text)
	}
	return s.flagReview(c, migration.FlagEdit{Document: json.RawMessage(text), Reason: "import"}, "", nil)
}

// rampRows is how many lines a ramp plan has.
const rampRows = 4

func (s *Server) flagSchedules(c *fiber.Ctx) error {
	return s.flagSchedulesWith(c, nil, make([]web.RampRow, rampRows))
}

func (s *Server) flagSchedulesWith(c *fiber.Ctx, notice *web.Notice, typed []web.RampRow) error {
	m, setting, err := s.flagSetting(c, "schedules")
	if err != nil {
		return err
	}
	v := web.FlagSchedules{FlagSetting: setting, Ramp: typed}
	if v.Schedules, err = s.control.FlagSchedules(c.UserContext(), m.ID, setting.View.ID); err != nil {
		return err
	}
	return s.flagPage(c, m, setting, "Schedules", notice, true, web.FlagSchedulesPage(v))
}

// flagRampForm schedules the moves of a ramp plan. Lines are read before the first is kept, so that a mistake in one keeps none.
func (s *Server) flagRampForm(c *fiber.Ctx) error {
	if err := s.mayAct(c, "flags-schedule", c.FormValue("set")); err != nil {
		return err
	}
	var typed []web.RampRow
	var plan []migration.FlagSchedule
	var wrong error
	now := time.Now()
	times, shares := c.Request().PostArgs().PeekMulti("ramp_at"), c.Request().PostArgs().PeekMulti("ramp_share")
	for i := range min(len(times), len(shares), rampRows) {
		row := web.RampRow{At: string(times[i]), Share: string(shares[i])}
		typed = append(typed, row)
		if row.At == "" && row.Share == "" {
			continue
		}
		at, err := time.Parse(localTime, row.At)
		ramp, numErr := strconv.Atoi(row.Share)
		if err != nil || numErr != nil || ramp < 1 || ramp > 100 || !at.After(now) || at.After(now.AddDate(1, 0, 0)) {
			wrong = migration.Errorf(migration.Invalid, "line %d: a time within the next year (UTC) and a share from 1 to 100 are needed", i+1)
			continue
		}
		plan = append(plan, migration.FlagSchedule{Set: c.FormValue("set"), At: at, Move: &migration.StageMove{To: migration.StageLive, Ramp: ramp}})
	}
	if wrong == nil && len(plan) == 0 {
		wrong = migration.Errorf(migration.Invalid, "give at least one time with a share")
	}
	var kept []string
	for _, p := range plan {
		if wrong == nil {
			p, wrong = s.control.ScheduleFlags(c.UserContext(), identityOf(c).Actor, c.Params("mid"), p)
			kept = append(kept, p.ID)
		}
	}
	if wrong != nil { // all or none
		for _, id := range kept {
			_ = s.control.CancelFlagSchedule(c.UserContext(), identityOf(c).Actor, c.Params("mid"), id) // the page lists what could not be
		}
	}
	if wrong != nil {
		notice, err := refused(c, "The plan was not kept", wrong)
		if err != nil {
			return err
		}
		return s.flagSchedulesWith(c, notice, typed)
	}
	return c.Redirect(web.FlagsURL(c.Params("mid"), "schedules", c.FormValue("set")), fiber.StatusSeeOther)
}

func (s *Server) flagCancelScheduleForm(c *fiber.Ctx) error {
	if err := s.control.CancelFlagSchedule(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.FormValue("id")); err != nil {
		notice, err := refused(c, "It was not cancelled", err)
		if err != nil {
			return err
		}
		return s.flagSchedulesWith(c, notice, make([]web.RampRow, rampRows))
	}
	return c.Redirect(web.FlagsURL(c.Params("mid"), "schedules", c.FormValue("set")), fiber.StatusSeeOther)
}

func (s *Server) flagKeys(c *fiber.Ctx) error { return s.flagKeysWith(c, nil, web.FlagKeys{Rate: "0"}) }

func (s *Server) flagKeysWith(c *fiber.Ctx, notice *web.Notice, v web.FlagKeys) error {
	m, setting, err := s.flagSetting(c, "keys")
	if err != nil {
		return err
	}
	v.FlagSetting = setting
	if v.Keys, err = s.control.APIKeys(c.UserContext(), m.ID); err != nil {
		return err
	}
	return s.flagPage(c, m, setting, "Keys", notice, false, web.FlagKeysPage(v))
}

// flagKeyForm answers with the token itself, and not by a redirect: nothing else will ever show it.
func (s *Server) flagKeyForm(c *fiber.Ctx) error {
	typed := web.FlagKeys{Name: c.FormValue("name"), Rate: c.FormValue("rate")}
	rate, err := strconv.Atoi(cmp.Or(typed.Rate, "0"))
	var token migration.Secret
	if err != nil {
		err = migration.Errorf(migration.Invalid, "requests a second: %q is no whole number", typed.Rate)
	} else {
		_, token, err = s.control.CreateAPIKey(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.FormValue("set"), typed.Name, rate)
	}
	if err != nil {
		notice, err := refused(c, "The key was not made", err)
		if err != nil {
			return err
		}
		return s.flagKeysWith(c, notice, typed)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Status(http.StatusCreated)
	return s.flagKeysWith(c, nil, web.FlagKeys{Token: token.Reveal(), Name: typed.Name, Rate: "0"})
}

func (s *Server) flagRevokeKeyForm(c *fiber.Ctx) error {
	if err := s.control.RevokeAPIKey(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.FormValue("id")); err != nil {
		notice, err := refused(c, "The key was not revoked", err)
		if err != nil {
			return err
		}
		return s.flagKeysWith(c, notice, web.FlagKeys{Rate: "0"})
	}
	return c.Redirect(web.FlagsURL(c.Params("mid"), "keys", c.FormValue("set")), fiber.StatusSeeOther)
}
