package server

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
)

const (
	whoKey   = "who"
	themeKey = "switchyard_theme"
)

// identity is who asks, and how they said so.
type identity struct {
	migration.Actor
	token  string
	cookie bool // by cookie, so a foreign page could have made the browser ask
}

func (s *Server) cookieName() string {
	if s.opt.SecureCookies {
		return "__Host-switchyard" // browsers take it only over HTTPS, for this host and the whole of it
	}
	return "switchyard_session"
}

func (s *Server) sessionCookie(value string, expires time.Time) *fiber.Cookie {
	return &fiber.Cookie{Name: s.cookieName(), Value: value, Path: "/", HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode, Secure: s.opt.SecureCookies, Expires: expires}
}

// bearer gives the token of a program: Authorization: Bearer, or X-API-Key.
func bearer(c *fiber.Ctx) string { return string(bearerBytes(c)) }

// bearerBytes is bearer without a copy: valid until the request has been answered.
func bearerBytes(c *fiber.Ctx) []byte {
	h := &c.Request().Header
	if scheme, token, ok := bytes.Cut(h.PeekCanonical(headerAuthorization), []byte(" ")); ok && strings.EqualFold(string(scheme), "bearer") {
		return bytes.TrimSpace(token)
	}
	return h.PeekCanonical(headerAPIKey)
}

// Names of headers in the form in which they are stored: every request for flags is asked for them.
var (
	headerAuthorization = []byte(fiber.HeaderAuthorization)
	headerAPIKey        = []byte("X-Api-Key")
	headerFetchSite     = []byte("Sec-Fetch-Site")
	headerOrigin        = []byte(fiber.HeaderOrigin)
)

// guard lets through who the route is for, and refuses what a foreign page made a browser send.
func (s *Server) guard(who access) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !safe(c.Method()) && fromElsewhere(c) && (len(bearerBytes(c)) == 0 || !s.fromAllowedSite(c)) {
			return migration.Errorf(migration.Forbidden, "this request comes from another site")
		}
		switch who {
		case open, ticketed:
			return c.Next()
		case worker:
			if err := s.admitKey(c); err != nil {
				return err
			}
			return c.Next()
		case reader:
			if err := s.admitReader(c); err != nil {
				return err
			}
			return c.Next()
		}
		id, err := s.identify(c)
		if err != nil {
			if migration.KindOf(err) == migration.Unauthenticated && c.Method() == fiber.MethodGet && !isAPI(c) && !isFragment(c) && c.Path() != "/events" {
				return c.Redirect("/sign-in?next="+url.QueryEscape(c.OriginalURL()), fiber.StatusSeeOther)
			}
			return err
		}
		if id.cookie && !safe(c.Method()) && !validCSRF(c, id.token) {
			return migration.Errorf(migration.Forbidden, "the form is not from this session: load the page again and repeat it")
		}
		c.Locals(whoKey, id)
		return c.Next()
	}
}

// identify finds the session of a request; Unauthenticated when there is none, another kind when it could not be looked up.
func (s *Server) identify(c *fiber.Ctx) (identity, error) {
	id := identity{token: bearer(c)}
	if id.token == "" {
		id.token, id.cookie = c.Cookies(s.cookieName()), true
	}
	if id.token == "" {
		return id, migration.Errorf(migration.Unauthenticated, "sign in first")
	}
	var err error
	id.Actor, err = s.control.Authenticate(c.UserContext(), id.token)
	return id, err
}

func identityOf(c *fiber.Ctx) identity {
	id, _ := c.Locals(whoKey).(identity)
	return id
}

func (id identity) who() web.Who { return web.Who{Actor: id.Actor, CSRF: csrfToken(id.token)} }

func safe(method string) bool {
	return method == fiber.MethodGet || method == fiber.MethodHead || method == fiber.MethodOptions
}

// fromElsewhere reports whether a browser says that another site made it send this. Programs send neither header.
func fromElsewhere(c *fiber.Ctx) bool {
	h := &c.Request().Header
	if site := string(h.PeekCanonical(headerFetchSite)); site != "" {
		return site != "same-origin" && site != "none"
	}
	if origin := h.PeekCanonical(headerOrigin); len(origin) > 0 {
		u, err := url.Parse(string(origin))
		return err != nil || u.Host == "" || u.Host != c.Hostname()
	}
	return false
}

// csrfToken is bound to the session by being derived from its token: nothing to store, nothing that expires apart from it.
func csrfToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func validCSRF(c *fiber.Ctx, session string) bool {
	given := c.Get("X-CSRF-Token")
	if given == "" {
		given = c.FormValue("csrf")
	}
	return hmac.Equal([]byte(given), []byte(csrfToken(session)))
}

// local gives a path on this server, or "/" for anything that would lead elsewhere.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

func (s *Server) signInPage(c *fiber.Ctx) error {
	return s.askWho(c, web.SignIn{Next: local(c.Query("next"))})
}

func (s *Server) askWho(c *fiber.Ctx, v web.SignIn) error {
	return send(c, web.Bare(web.Frame{Title: "Sign in", Theme: themeOf(c)}, web.SignInPage(v)))
}

func (s *Server) signIn(c *fiber.Ctx) error {
	v := web.SignIn{Name: c.FormValue("name"), Next: local(c.FormValue("next"))}
	token, _, err := s.control.SignIn(c.UserContext(), v.Name, c.FormValue("password"), c.IP())
	if err != nil {
		f := explain(err)
		if f.kind == migration.Internal {
			return err
		}
		v.Error = f.text
		c.Status(f.status)
		return s.askWho(c, v)
	}
	c.Cookie(s.sessionCookie(token, time.Time{}))
	return c.Redirect(v.Next, fiber.StatusSeeOther)
}

func (s *Server) signOut(c *fiber.Ctx) error {
	if err := s.control.SignOut(c.UserContext(), identityOf(c).token); err != nil {
		return err
	}
	c.Cookie(s.sessionCookie("", time.Unix(1, 0)))
	return c.Redirect("/sign-in", fiber.StatusSeeOther)
}

// theme keeps the choice of light or dark in a cookie, so that the server renders it at once.
func (s *Server) theme(c *fiber.Ctx) error {
	value, expires := c.FormValue("theme"), time.Now().Add(365*24*time.Hour)
	if value != "light" && value != "dark" {
		value, expires = "", time.Unix(1, 0)
	}
	c.Cookie(&fiber.Cookie{Name: themeKey, Value: value, Path: "/", HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode, Secure: s.opt.SecureCookies, Expires: expires})
	return c.Redirect(local(c.FormValue("back")), fiber.StatusSeeOther)
}

func themeOf(c *fiber.Ctx) string {
	if t := c.Cookies(themeKey); t == "light" || t == "dark" {
		return t
	}
	return ""
}
