package flagadmin

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

const (
	// localTime is how browsers send <input type="datetime-local">; the pages say that it is UTC.
	localTime = "2006-01-02T15:04"
	// rampRows is how many lines a ramp plan has.
	rampRows = 4
)

func (h handlers) scheduleRoutes() []site.Route {
	return []site.Route{
		site.GetShared(pages+"/schedules", site.ByRole, h.schedules),
		site.Post(pages+"/schedules", site.Engineer, h.rampForm),
		site.Post(pages+"/schedules/cancel", site.Engineer, h.cancelForm),
		site.Get(verbs+"/schedules", site.Session, h.apiSchedules),
		site.Post(verbs+"/schedules", site.Engineer, h.apiSchedule),
		site.Delete(verbs+"/schedules/:schedule", site.Engineer, h.apiCancel),
	}
}

func (h handlers) schedules(c *fiber.Ctx) error {
	return h.schedulesWith(c, nil, make([]flagpages.RampRow, rampRows))
}

func (h handlers) schedulesWith(
	c *fiber.Ctx, notice *ui.Notice, typed []flagpages.RampRow,
) error {
	m, setting, err := h.setting(c, "schedules")
	if err != nil {
		return err
	}
	v := flagpages.FlagSchedules{FlagSetting: setting, Ramp: typed}
	v.Schedules, err = h.Control.FlagSchedules(c.UserContext(), m.ID, setting.View.ID)
	if err != nil {
		return err
	}
	return h.send(c, m, setting,
		page{"Schedules", notice, true, flagpages.FlagSchedulesPage(v)})
}

// rampForm schedules the moves of a ramp plan: all or none.
func (h handlers) rampForm(c *fiber.Ctx) error {
	if err := h.may(c, "flags-schedule"); err != nil {
		return err
	}
	typed, plan, err := rampPlan(c)
	if err == nil {
		err = h.scheduleAll(c, plan)
	}
	if err != nil {
		notice, err := site.Refused(c, "The plan was not saved", err)
		if err != nil {
			return err
		}
		return h.schedulesWith(c, notice, typed)
	}
	return back(c, "schedules", c.FormValue("set"))
}

// rampPlan reads a ramp plan, whole before the first move is kept, so that a mistake in one line
// keeps none.
func rampPlan(
	c *fiber.Ctx,
) (typed []flagpages.RampRow, plan []migration.FlagSchedule, wrong error) {
	now := time.Now()
	times := c.Request().PostArgs().PeekMulti("ramp_at")
	shares := c.Request().PostArgs().PeekMulti("ramp_share")
	for i := range min(len(times), len(shares), rampRows) {
		row := flagpages.RampRow{At: string(times[i]), Share: string(shares[i])}
		typed = append(typed, row)
		if row.At == "" && row.Share == "" {
			continue
		}
		at, err := time.Parse(localTime, row.At)
		ramp, numErr := strconv.Atoi(row.Share)
		if err != nil || numErr != nil || ramp < 1 || ramp > 100 || !at.After(now) ||
			at.After(now.AddDate(1, 0, 0)) {
			wrong = migration.Errorf(migration.Invalid, "line %d: a time within the next year "+
				"(UTC) and a share from 1 to 100 are needed", i+1)
			continue
		}
		plan = append(plan, migration.FlagSchedule{
			Set: c.FormValue("set"), At: at,
			Move: &migration.StageMove{To: migration.StageLive, Ramp: ramp},
		})
	}
	if wrong == nil && len(plan) == 0 {
		wrong = migration.Errorf(migration.Invalid, "give at least one time with a share")
	}
	return typed, plan, wrong
}

func (h handlers) scheduleAll(c *fiber.Ctx, plan []migration.FlagSchedule) error {
	actor, mid := site.Actor(c), c.Params("mid")
	var kept []string
	for _, p := range plan {
		made, err := h.Control.ScheduleFlags(c.UserContext(), actor, mid, p)
		if err != nil {
			for _, id := range kept {
				// The page lists what could not be cancelled.
				_ = h.Control.CancelFlagSchedule(c.UserContext(), actor, mid, id)
			}
			return err
		}
		kept = append(kept, made.ID)
	}
	return nil
}

func (h handlers) cancelForm(c *fiber.Ctx) error {
	err := h.Control.CancelFlagSchedule(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.FormValue("id"))
	if err != nil {
		notice, err := site.Refused(c, "It was not cancelled", err)
		if err != nil {
			return err
		}
		return h.schedulesWith(c, notice, make([]flagpages.RampRow, rampRows))
	}
	return back(c, "schedules", c.FormValue("set"))
}

func (h handlers) apiSchedules(c *fiber.Ctx) error {
	all, err := h.Control.FlagSchedules(c.UserContext(), c.Params("mid"), c.Query("set"))
	return site.Answer(c, api.ScheduleList{Schedules: site.List(all)}, err)
}

func (h handlers) apiSchedule(c *fiber.Ctx) error {
	var in api.NewSchedule
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	sc, err := h.Control.ScheduleFlags(
		c.UserContext(), site.Actor(c), c.Params("mid"),
		migration.FlagSchedule{Set: c.Query("set"), At: in.At, Edit: in.Edit, Move: in.Move})
	return site.Made(c, sc, err)
}

func (h handlers) apiCancel(c *fiber.Ctx) error {
	return site.Done(c, h.Control.CancelFlagSchedule(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Params("schedule")))
}
