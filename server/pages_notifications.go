package server

import (
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/web"
)

func (s *Server) notifications(c *fiber.Ctx) error { return s.notificationsWith(c, nil) }

func (s *Server) notificationsWith(c *fiber.Ctx, n *web.Notice) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	a, err := s.control.Notifications(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "audit", title: "Notifications", topics: []string{"notifications"}, path: "/m/" + m.ID + "/notifications", notice: n},
		web.NotificationsPage(web.Notifications{MigrationID: m.ID, Notifications: a, Now: time.Now(), Who: identityOf(c).who()}))
}

// notificationTestForm sends a channel a test. The page that follows shows when the channel took it.
func (s *Server) notificationTestForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if _, err := s.control.TestNotification(c.UserContext(), identityOf(c).Actor, mid, c.FormValue("channel")); err != nil {
		n, err := refused(c, "The test was not sent", err)
		if err != nil {
			return err
		}
		return s.notificationsWith(c, n)
	}
	return c.Redirect("/m/"+url.PathEscape(mid)+"/notifications", fiber.StatusSeeOther)
}

func (s *Server) apiNotifications(c *fiber.Ctx) error {
	n, err := s.control.Notifications(c.UserContext(), c.Params("mid"))
	return answer(c, n, err)
}

func (s *Server) apiTestNotification(c *fiber.Ctx) error {
	var in api.NotificationTest
	if err := decode(c, &in); err != nil {
		return err
	}
	channel, err := s.control.TestNotification(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in.Channel)
	return answer(c, channel, err)
}
