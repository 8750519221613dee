package steps_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

// A fleet of which the configuration leaves something out does not get as far as its first
// orders on the target. That one where nothing is left out does, the rehearsals show.
func TestWhatIsLeftAloneOfAFleetIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(*config.Config)
		gate  string
		named string
	}{
		// that of the first app's two instances is one, which either of them tells
		"the second app's journal": {
			func(c *config.Config) {
				c.Ingestion.Instances = slices.Delete(c.Ingestion.Instances, 2, 3)
			},
			"ledger", "shop-1",
		},
		"the second app and its queue": {
			func(c *config.Config) {
				c.Queues, c.Ingestion.Instances = c.Queues[:1], c.Ingestion.Instances[:2]
			},
			"workers", "shop-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := openFleet(t, true, c.leave)
			w.eventually(c.named+" is not named", func() error {
				p, err := w.control.Plan(t.Context(), w.mid, migration.StepCutover,
					table[migration.StepCutover].params)
				if err != nil {
					return err
				}
				for _, g := range p.Gates {
					if g.ID == c.gate && !g.OK && strings.Contains(g.Measured, c.named) {
						return nil
					}
				}
				return fmt.Errorf("%+v", migration.Failing(p.Gates))
			})
		})
	}
}
