package server

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) settingsRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/settings", site.Session, s.settings),
		site.Post("/m/:mid/settings", site.Session, s.settingsForm),
	}
}

func (s *Server) settings(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	look := site.LookOf(c)
	v := adminpages.Settings{
		MigrationID: m.ID, Theme: cmp.Or(look.Theme, "auto"),
		Density: cmp.Or(look.Density, "comfortable"), Times: cmp.Or(look.Times, "local"),
		Keys: "on", Who: site.IdentityOf(c).Who(),
	}
	if look.NoKeys {
		v.Keys = "off"
	}
	at := site.Place{Migration: m, Section: "settings", Title: "Settings"}
	return s.Page(c, at, adminpages.SettingsPage(v))
}

// settingsForm keeps what was chosen in cookies, so that the server renders it at once. What is
// not the usual is kept; the usual is no cookie.
func (s *Server) settingsForm(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	for _, o := range []struct {
		field, cookie string
		values        []string
	}{
		{"theme", site.ThemeCookie, []string{"light", "dark"}},
		{"density", site.DensityCookie, []string{"compact"}},
		{"times", site.TimesCookie, []string{"utc"}},
		{"keys", site.KeysCookie, []string{"off"}},
	} {
		value, expires := c.FormValue(o.field), time.Now().Add(365*24*time.Hour)
		if !slices.Contains(o.values, value) {
			value, expires = "", time.Unix(1, 0)
		}
		c.Cookie(s.Cookie(o.cookie, value, expires))
	}
	return c.Redirect("/m/"+m.ID+"/settings", http.StatusSeeOther)
}
