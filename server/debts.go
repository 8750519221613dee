package server

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
)

func (s *Server) debtRoutes() []site.Route {
	return []site.Route{
		site.Get(apiMigration+"/debts", site.Session, s.apiDebts),
		site.Post(apiMigration+"/debts/:debt", site.Engineer, s.apiChangeDebt),
	}
}

func (s *Server) apiDebts(c *fiber.Ctx) error {
	d, err := s.Control.Debts(c.UserContext(), c.Params("mid"))
	return site.Answer(c, d, err)
}

func (s *Server) apiChangeDebt(c *fiber.Ctx) error {
	id, _ := strconv.ParseInt(c.Params("debt"), 10, 64) // what is no number is no debt
	var in api.DebtChange
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	d, err := s.Control.ChangeDebt(c.UserContext(), site.Actor(c), c.Params("mid"), id, in)
	return site.Answer(c, d, err)
}
