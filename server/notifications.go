package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (s *Server) notificationRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/notifications", site.ByRole, s.notifications),
		site.Post("/m/:mid/notifications/test", site.Engineer, s.notificationTestForm),
		site.Get(apiMigration+"/notifications", site.Session, s.apiNotifications),
		site.Post(apiMigration+"/notifications/test", site.Engineer, s.apiTestNotification),
	}
}

func (s *Server) notifications(c *fiber.Ctx) error { return s.notificationsWith(c, nil) }

func (s *Server) notificationsWith(c *fiber.Ctx, n *ui.Notice) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	a, err := s.Control.Notifications(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "audit", Title: "Notifications",
		Topics: []string{"notifications"}, Path: "/m/" + m.ID + "/notifications", Notice: n,
	}
	return s.Page(c, at, adminpages.NotificationsPage(adminpages.Notifications{
		MigrationID: m.ID, Notifications: a, Now: time.Now(), Who: site.IdentityOf(c).Who(),
	}))
}

// notificationTestForm sends a channel a test. The page that follows shows when the channel took
// it.
func (s *Server) notificationTestForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	_, err := s.Control.TestNotification(
		c.UserContext(), site.Actor(c), mid, c.FormValue("channel"))
	if err != nil {
		n, err := site.Refused(c, "The test was not sent", err)
		if err != nil {
			return err
		}
		return s.notificationsWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "notifications"), fiber.StatusSeeOther)
}

func (s *Server) apiNotifications(c *fiber.Ctx) error {
	n, err := s.Control.Notifications(c.UserContext(), c.Params("mid"))
	return site.Answer(c, n, err)
}

func (s *Server) apiTestNotification(c *fiber.Ctx) error {
	var in api.NotificationTest
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	channel, err := s.Control.TestNotification(
		c.UserContext(), site.Actor(c), c.Params("mid"), in.Channel)
	return site.Answer(c, channel, err)
}
