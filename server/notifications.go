package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (s *Server) notificationRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/alerts", site.ByRole, s.alerts),
		site.GetShared("/m/:mid/notifications", site.ByRole, s.notifications),
		site.Post("/m/:mid/alerts/ack", site.Engineer, s.ackForm),
		site.Get(apiMigration+"/alerts", site.Session, s.apiAlerts),
		site.Post(apiMigration+"/alerts/ack", site.Engineer, s.apiAck),
		site.Post("/m/:mid/notifications/test", site.Engineer, s.notificationTestForm),
		site.Get(apiMigration+"/notifications", site.Session, s.apiNotifications),
		site.Post(apiMigration+"/notifications/test", site.Engineer, s.apiTestNotification),
		site.GetShared("/m/:mid/notifications/digest", site.ByRole, s.digest),
		site.Post("/m/:mid/notifications/digest", site.Engineer, s.digestForm),
		site.Get(apiMigration+"/digest", site.Session, s.apiDigest),
		site.Post(apiMigration+"/digest", site.Engineer, s.apiSendDigest),
	}
}

func (s *Server) alerts(c *fiber.Ctx) error {
	return s.alertsWith(c, nil, adminpages.Ack{})
}

// alertsWith shows what is wrong now and what was, and what became of an attempt to acknowledge.
func (s *Server) alertsWith(c *fiber.Ctx, notice *ui.Notice, draft adminpages.Ack) error {
	ctx := c.UserContext()
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	n, err := s.Control.Notifications(ctx, m.ID)
	if err != nil {
		return err
	}
	v := adminpages.Alerts{
		MigrationID: m.ID, Open: n.Alerts, Now: time.Now(), Who: site.IdentityOf(c).Who(),
		Draft: draft, Channels: len(n.Channels),
	}
	if v.Past, err = s.Control.PastAlerts(ctx, m.ID); err != nil {
		return err
	}
	if o, err := s.Control.Orders(ctx, m.ID); err != nil {
		v.OrdersError = migration.PlainError(err)
	} else {
		v.Orders = &o
	}
	at := site.Place{
		Migration: m, Section: "alerts", Title: "Alerts", Topics: []string{"notifications"},
		Path: "/m/" + m.ID + "/alerts", Notice: notice,
	}
	return s.Page(c, at, adminpages.AlertsPage(v))
}

func (s *Server) notifications(c *fiber.Ctx) error {
	return s.notificationsWith(c, nil)
}

// notificationsWith shows the notifications, and what became of an attempt to change something.
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
		Migration: m, Section: "alerts", Title: "Notifications",
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

func (s *Server) ackForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	in := adminpages.Ack{Key: c.FormValue("key"), Comment: c.FormValue("comment")}
	err := s.Control.AcknowledgeAlert(c.UserContext(), site.Actor(c), mid, in.Key, in.Comment)
	if err != nil {
		n, err := site.Refused(c, "The alert was not acknowledged", err)
		if err != nil {
			return err
		}
		return s.alertsWith(c, n, in)
	}
	return c.Redirect(ui.URL(mid, "alerts"), fiber.StatusSeeOther)
}

func (s *Server) apiAlerts(c *fiber.Ctx) error {
	a, err := s.Control.Alerts(c.UserContext(), c.Params("mid"))
	return site.Answer(c, a, err)
}

func (s *Server) apiAck(c *fiber.Ctx) error {
	var in api.AlertAck
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	return site.Done(c, s.Control.AcknowledgeAlert(
		c.UserContext(), site.Actor(c), c.Params("mid"), in.Key, in.Comment))
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
