package flagadmin

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (h handlers) keyRoutes() []site.Route {
	return []site.Route{
		site.Get(pages+"/keys", site.Session, h.keys),
		site.Post(pages+"/keys", site.Engineer, h.createKeyForm),
		site.Post(pages+"/keys/revoke", site.Engineer, h.revokeKeyForm),
		site.Get(verbs+"/keys", site.Session, h.apiKeys),
		site.Post(verbs+"/keys", site.Engineer, h.apiCreateKey),
		site.Delete(verbs+"/keys/:apikey", site.Engineer, h.apiRevokeKey),
	}
}

func (h handlers) keys(c *fiber.Ctx) error {
	return h.keysWith(c, nil, flagpages.FlagKeys{Rate: "0"})
}

func (h handlers) keysWith(c *fiber.Ctx, notice *ui.Notice, v flagpages.FlagKeys) error {
	m, setting, err := h.setting(c, "keys")
	if err != nil {
		return err
	}
	v.FlagSetting = setting
	if v.Keys, err = h.Control.APIKeys(c.UserContext(), m.ID); err != nil {
		return err
	}
	return h.send(c, m, setting,
		page{"Keys", notice, false, flagpages.FlagKeysPage(v)})
}

// createKeyForm answers with the token itself, and not by a redirect: nothing else will ever show
// it.
func (h handlers) createKeyForm(c *fiber.Ctx) error {
	typed := flagpages.FlagKeys{Name: c.FormValue("name"), Rate: c.FormValue("rate")}
	rate, err := strconv.Atoi(cmp.Or(typed.Rate, "0"))
	var token migration.Secret
	if err != nil {
		err = migration.Errorf(migration.Invalid,
			"requests a second: %q is no whole number", typed.Rate)
	} else {
		_, token, err = h.Control.CreateAPIKey(c.UserContext(), site.Actor(c),
			c.Params("mid"), c.FormValue("set"), typed.Name, rate)
	}
	if err != nil {
		notice, err := site.Refused(c, "The key was not created", err)
		if err != nil {
			return err
		}
		return h.keysWith(c, notice, typed)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Status(http.StatusCreated)
	made := flagpages.FlagKeys{Token: token.Reveal(), Name: typed.Name, Rate: "0"}
	return h.keysWith(c, nil, made)
}

func (h handlers) revokeKeyForm(c *fiber.Ctx) error {
	err := h.Control.RevokeAPIKey(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.FormValue("id"))
	if err != nil {
		notice, err := site.Refused(c, "The key was not revoked", err)
		if err != nil {
			return err
		}
		return h.keysWith(c, notice, flagpages.FlagKeys{Rate: "0"})
	}
	return back(c, "keys", c.FormValue("set"))
}

func (h handlers) apiKeys(c *fiber.Ctx) error {
	all, err := h.Control.APIKeys(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.KeyList{Keys: site.List(all)}, err)
}

// apiCreateKey answers with the token, this once; nothing may keep the answer.
func (h handlers) apiCreateKey(c *fiber.Ctx) error {
	var in api.NewKey
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	k, token, err := h.Control.CreateAPIKey(c.UserContext(), site.Actor(c),
		c.Params("mid"), in.Set, in.Name, in.RatePerSecond)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return site.Made(c, api.CreatedKey{Key: k, Token: token.Reveal()}, err)
}

func (h handlers) apiRevokeKey(c *fiber.Ctx) error {
	return site.Done(c, h.Control.RevokeAPIKey(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Params("apikey")))
}
