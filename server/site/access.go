package site

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
	"github.com/switchyard-dev/switchyard/web/ui"
)

const (
	whoKey = "who"
	// momentKey is when reading for an answer began, as the hub counts.
	momentKey = "moment"
	// csrfHeader brings the token of scripts, which have no form.
	csrfHeader = "X-CSRF-Token"
	// ThemeCookie remembers the choice of light or dark.
	ThemeCookie = "switchyard_theme"
	// DensityCookie remembers how close lines are.
	DensityCookie = "switchyard_density"
	// TimesCookie remembers whether times are shown in UTC.
	TimesCookie = "switchyard_times"
	// KeysCookie remembers that single-key shortcuts are off.
	KeysCookie = "switchyard_keys"
)

// Identity is who asks, and how they said so.
type Identity struct {
	migration.Actor
	Token  string
	Cookie bool // by cookie, so a foreign page could have made the browser ask
}

// Who is the identity as pages show it. Each reader's token is filled in when a page is sent.
func (id Identity) Who() ui.Who { return ui.Who{Actor: id.Actor, CSRF: tokenHole} }

// Forged reports whether a foreign page may have made a browser send this.
func (id Identity) Forged(c *fiber.Ctx) bool {
	return id.Cookie && !Safe(c.Method()) && !validCSRF(c, id.Token)
}

// IdentityOf gives who was let in.
func IdentityOf(c *fiber.Ctx) Identity {
	id, _ := c.Locals(whoKey).(Identity)
	return id
}

// Actor gives the account that was let in.
func Actor(c *fiber.Ctx) migration.Actor { return IdentityOf(c).Actor }

// Admit lets in who is signed in.
func (s *Site) Admit(c *fiber.Ctx) error {
	id, err := s.Identify(c)
	if err != nil {
		return err
	}
	if id.Forged(c) {
		return migration.Errorf(migration.Forbidden,
			"this form is from another session of yours, so it was not accepted. Go back to "+
				"the form, which is then of the session you have now, and submit it again")
	}
	c.Locals(whoKey, id)
	c.Locals(momentKey, s.Live.Moment())
	return nil
}

// AsksForPage reports whether a person asks for a page, whom signing in leads on to it.
func AsksForPage(c *fiber.Ctx) bool {
	return c.Method() == fiber.MethodGet && !isAPI(c) && !isFragment(c) && c.Path() != "/events"
}

// Identify finds the session of a request; Unauthenticated when there is none, another kind when
// it could not be looked up.
func (s *Site) Identify(c *fiber.Ctx) (Identity, error) {
	id := Identity{Token: string(Bearer(c))}
	if id.Token == "" {
		id.Token, id.Cookie = c.Cookies(s.cookieName()), true
	}
	if id.Token == "" {
		return id, migration.Errorf(migration.Unauthenticated, "sign in first")
	}
	var err error
	id.Actor, err = s.Control.Authenticate(c.UserContext(), id.Token)
	s.remember(id.Token, id.Actor, err)
	return id, err
}

func (s *Site) cookieName() string {
	if s.SecureCookies {
		// Browsers take it only over HTTPS, for this host and the whole of it.
		return "__Host-switchyard"
	}
	return "switchyard_session"
}

// SessionCookie keeps a session's token in the browser.
func (s *Site) SessionCookie(token string, expires time.Time) *fiber.Cookie {
	return s.Cookie(s.cookieName(), token, expires)
}

// Cookie is out of reach of scripts.
func (s *Site) Cookie(name, value string, expires time.Time) *fiber.Cookie {
	return &fiber.Cookie{
		Name: name, Value: value, Path: "/", HTTPOnly: true,
		SameSite: fiber.CookieSameSiteLaxMode, Secure: s.SecureCookies, Expires: expires,
	}
}

// Names of headers in the form in which they are stored: every request for flags is asked for
// them.
var (
	headerAuthorization = []byte(fiber.HeaderAuthorization)
	headerAPIKey        = []byte("X-Api-Key")
	headerFetchSite     = []byte("Sec-Fetch-Site")
	headerOrigin        = []byte(fiber.HeaderOrigin)
)

// Bearer gives the token of a program: Authorization: Bearer, or X-API-Key. It is valid until the
// request has been answered.
func Bearer(c *fiber.Ctx) []byte {
	h := &c.Request().Header
	scheme, token, ok := bytes.Cut(h.PeekCanonical(headerAuthorization), []byte(" "))
	if ok && strings.EqualFold(string(scheme), "bearer") {
		return bytes.TrimSpace(token)
	}
	return h.PeekCanonical(headerAPIKey)
}

// Safe reports whether a method changes nothing.
func Safe(method string) bool {
	return method == fiber.MethodGet || method == fiber.MethodHead ||
		method == fiber.MethodOptions
}

// FromElsewhere reports whether a browser says that another site made it send this. Programs send
// neither header.
func FromElsewhere(c *fiber.Ctx) bool {
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

// csrfToken is bound to the session by being derived from its token: nothing to store, nothing
// that expires apart from it.
func csrfToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func validCSRF(c *fiber.Ctx, session string) bool {
	given := c.Get(csrfHeader)
	if given == "" {
		given = c.FormValue("csrf")
	}
	return hmac.Equal([]byte(given), []byte(csrfToken(session)))
}

// Local gives a path on this server, or "/" for anything that would lead elsewhere.
func Local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
