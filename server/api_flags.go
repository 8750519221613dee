package server

import (
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// The flag sets of a migration: what Control does with them, over HTTP. The query parameter set names one; without it, the migration's own.

func (s *Server) apiFlagSets(c *fiber.Ctx) error {
	sets, err := s.control.FlagSets(c.UserContext(), c.Params("mid"))
	return answer(c, api.FlagSetList{Sets: list(sets)}, err)
}

func (s *Server) apiCreateFlagSet(c *fiber.Ctx) error {
	var in api.NewFlagSet
	if err := decode(c, &in); err != nil {
		return err
	}
	set, err := s.control.CreateFlagSet(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in.ID, in.Name)
	return made(c, set, err)
}

// made answers 201 with what a verb made.
func made[T any](c *fiber.Ctx, v T, err error) error {
	if err != nil {
		return err
	}
	c.Status(http.StatusCreated)
	return c.JSON(v)
}

func (s *Server) apiFlags(c *fiber.Ctx) error {
	v, err := s.control.FlagSet(c.UserContext(), c.Params("mid"), c.Query("set"))
	return answer(c, v, err)
}

func (s *Server) apiFlagHistory(c *fiber.Ctx) error {
	limit, err := limited(c, 50)
	if err != nil {
		return err
	}
	before, err := whole(c, "before", 0)
	if err != nil {
		return err
	}
	all, err := s.control.FlagHistory(c.UserContext(), c.Params("mid"), c.Query("set"), before, limit)
	return answer(c, api.FlagHistory{Revisions: list(all)}, err)
}

// apiFlagExport sends the whole document as a file that flagd reads.
func (s *Server) apiFlagExport(c *fiber.Ctx) error {
	v, err := s.control.FlagSet(c.UserContext(), c.Params("mid"), c.Query("set"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+v.ID+"-"+strconv.FormatInt(v.Revision, 10)+`.flagd.json"`)
	return c.Send(v.Definition)
}

func (s *Server) apiCheckFlags(c *fiber.Ctx) error {
	var in migration.FlagEdit
	if err := decode(c, &in); err != nil {
		return err
	}
	check, err := s.control.CheckFlags(c.UserContext(), c.Params("mid"), c.Query("set"), in)
	return answer(c, check, err)
}

func (s *Server) apiEditFlags(c *fiber.Ctx) error {
	var in migration.FlagEdit
	if err := decode(c, &in); err != nil {
		return err
	}
	r, err := s.control.EditFlags(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Query("set"), in)
	return made(c, r, err)
}

func (s *Server) apiRollbackFlags(c *fiber.Ctx) error {
	var in api.FlagRollback
	if err := decode(c, &in); err != nil {
		return err
	}
	r, err := s.control.RollbackFlags(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Query("set"), in.Revision, in.Base, in.Reason)
	return made(c, r, err)
}

func (s *Server) apiKillFlag(c *fiber.Ctx) error {
	var in api.FlagKill
	if err := decode(c, &in); err != nil {
		return err
	}
	r, err := s.control.KillFlag(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Query("set"), in.Key, in.Killed, in.Reason)
	return made(c, r, err)
}

func (s *Server) apiPreviewFlag(c *fiber.Ctx) error {
	var in api.FlagPreview
	if err := decode(c, &in); err != nil {
		return err
	}
	e, err := s.control.PreviewFlag(c.UserContext(), c.Params("mid"), c.Query("set"), in.Key, in.Definition, in.Context)
	return answer(c, e, err)
}

func (s *Server) apiSchedules(c *fiber.Ctx) error {
	all, err := s.control.FlagSchedules(c.UserContext(), c.Params("mid"), c.Query("set"))
	return answer(c, api.ScheduleList{Schedules: list(all)}, err)
}

func (s *Server) apiSchedule(c *fiber.Ctx) error {
	var in api.NewSchedule
	if err := decode(c, &in); err != nil {
		return err
	}
	sc, err := s.control.ScheduleFlags(c.UserContext(), identityOf(c).Actor, c.Params("mid"), migration.FlagSchedule{Set: c.Query("set"), At: in.At, Edit: in.Edit, Move: in.Move})
	return made(c, sc, err)
}

func (s *Server) apiCancelSchedule(c *fiber.Ctx) error {
	if err := s.control.CancelFlagSchedule(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Params("schedule")); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

func (s *Server) apiKeys(c *fiber.Ctx) error {
	all, err := s.control.APIKeys(c.UserContext(), c.Params("mid"))
	return answer(c, api.KeyList{Keys: list(all)}, err)
}

// apiCreateKey answers with the token, this once; nothing may keep the answer.
func (s *Server) apiCreateKey(c *fiber.Ctx) error {
	var in api.NewKey
	if err := decode(c, &in); err != nil {
		return err
	}
	k, token, err := s.control.CreateAPIKey(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in.Set, in.Name, in.RatePerSecond)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return made(c, api.CreatedKey{Key: k, Token: token.Reveal()}, err)
}

func (s *Server) apiRevokeKey(c *fiber.Ctx) error {
	if err := s.control.RevokeAPIKey(c.UserContext(), identityOf(c).Actor, c.Params("mid"), c.Params("apikey")); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}
