package server

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/live"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) sessionRoutes() []site.Route {
	return []site.Route{
		site.Get("/sign-in", site.Open, s.signInPage),
		site.Post("/sign-in", site.Open, s.signIn),
		site.Post("/sign-out", site.Session, s.signOut),
		site.Post("/theme", site.Open, s.theme),
		site.Get("/events", site.Session, s.events),
		site.Post("/api/v1/sessions", site.Open, s.apiSignIn),
		site.Get("/api/v1/sessions/current", site.Session, s.apiWhoAmI),
		site.Delete("/api/v1/sessions/current", site.Session, s.apiSignOut),
	}
}

// signInFirst leads a person without a session to sign in, and back to the page they ask for or
// to the one with the form that they sent; it hands on every other error.
func (s *Server) signInFirst(c *fiber.Ctx, err error) error {
	switch unknown := migration.KindOf(err) == migration.Unauthenticated; {
	case unknown && site.AsksForPage(c):
		return c.Redirect(site.SignIn(c.OriginalURL(), ""), fiber.StatusSeeOther)
	case unknown && site.SubmitsForm(c):
		return c.Redirect(site.SignIn(s.FormPage(c), s.Lost(c)), fiber.StatusSeeOther)
	}
	return err
}

func (s *Server) signInPage(c *fiber.Ctx) error {
	v := adminpages.SignIn{Next: site.Local(c.Query("next"))}
	switch c.Query("lost") {
	case site.LostSession:
		v.Lost = "Your session ended. Nothing was submitted. Sign in to get back to the form."
	case site.LostForm:
		v.Lost = "You are not signed in. Nothing was submitted. Sign in to get to the form."
	}
	return askWho(c, v)
}

func askWho(c *fiber.Ctx, v adminpages.SignIn) error {
	return site.Bare(c, "Sign in", adminpages.SignInPage(v))
}

func (s *Server) signIn(c *fiber.Ctx) error {
	v := adminpages.SignIn{Name: c.FormValue("name"), Next: site.Local(c.FormValue("next"))}
	token, _, err := s.Control.SignIn(c.UserContext(), v.Name, c.FormValue("password"), c.IP())
	if err != nil {
		f := site.Explain(err)
		if f.Kind == migration.Internal {
			return err
		}
		v.Error = f.Text
		c.Status(f.Status)
		return askWho(c, v)
	}
	c.Cookie(s.SessionCookie(token, time.Time{}))
	return c.Redirect(v.Next, fiber.StatusSeeOther)
}

func (s *Server) signOut(c *fiber.Ctx) error {
	if err := s.Control.SignOut(c.UserContext(), site.IdentityOf(c).Token); err != nil {
		return err
	}
	c.Cookie(s.SessionCookie("", time.Unix(1, 0)))
	return c.Redirect("/sign-in", fiber.StatusSeeOther)
}

// theme keeps the choice of light or dark in a cookie, so that the server renders it at once.
func (s *Server) theme(c *fiber.Ctx) error {
	value, expires := c.FormValue("theme"), time.Now().Add(365*24*time.Hour)
	if value != "light" && value != "dark" {
		value, expires = "", time.Unix(1, 0)
	}
	c.Cookie(s.Cookie(site.ThemeCookie, value, expires))
	return c.Redirect(site.Local(c.FormValue("back")), fiber.StatusSeeOther)
}

// events tells an open page of changes, for as long as its session lasts.
func (s *Server) events(c *fiber.Ctx) error {
	id := site.IdentityOf(c)
	token := id.Token
	live.As(c, live.Viewer{Name: id.Name, Role: string(id.Role)})
	return s.Live.Serve(c, s.Log, func() bool { return s.stillSignedIn(token) })
}

// stillSignedIn says no when a session was ended; while the database does not answer, it goes on.
func (s *Server) stillSignedIn(token string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := s.Control.Authenticate(ctx, token)
	return err == nil || migration.KindOf(err) != migration.Unauthenticated
}

func (s *Server) apiSignIn(c *fiber.Ctx) error {
	var in api.Credentials
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	token, actor, err := s.Control.SignIn(c.UserContext(), in.Name, in.Password, c.IP())
	return site.Made(c, api.Session{Token: token, Actor: actor}, err)
}

func (s *Server) apiWhoAmI(c *fiber.Ctx) error {
	return c.JSON(api.Session{Actor: site.Actor(c)})
}

func (s *Server) apiSignOut(c *fiber.Ctx) error {
	return site.Done(c, s.Control.SignOut(c.UserContext(), site.IdentityOf(c).Token))
}
