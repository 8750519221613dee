package flagadmin

import (
	"encoding/json"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/flagpages"
)

func (h handlers) workerRoutes() []site.Route {
	return []site.Route{
		site.GetShared(pages+"/workers", site.ByRole, h.workers),
		site.Get(verbs+"/workers", site.Session, h.apiWorkers),
	}
}

// readers lists who reads a set.
func (h handlers) readers(c *fiber.Ctx, mid, set string) ([]flagpages.Worker, error) {
	all, err := h.Control.Workers(c.UserContext(), mid)
	var out []flagpages.Worker
	for _, w := range all {
		if w.Set != set {
			continue
		}
		var said struct {
			LastKnownGood bool `json:"lastKnownGood"`
		}
		_ = json.Unmarshal(w.Attestation, &said) // absent: it did not say
		out = append(out, flagpages.Worker{Worker: w, LastKnownGood: said.LastKnownGood})
	}
	return out, err
}

func (h handlers) workers(c *fiber.Ctx) error {
	m, setting, err := h.setting(c, "workers")
	if err != nil {
		return err
	}
	v := flagpages.FlagWorkers{FlagSetting: setting}
	if v.Workers, err = h.readers(c, m.ID, setting.View.ID); err != nil {
		return err
	}
	return h.send(c, m, setting,
		page{"Workers", nil, true, flagpages.FlagWorkersPage(v)})
}

func (h handlers) apiWorkers(c *fiber.Ctx) error {
	if _, err := h.Migration(c); err != nil {
		return err
	}
	all, err := h.Control.Workers(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.WorkerList{Workers: site.List(all)}, err)
}
