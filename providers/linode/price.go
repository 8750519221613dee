package linode

import (
	"context"
	"fmt"

	"github.com/linode/linodego"

	"github.com/switchyard-dev/switchyard/migration"
)

// Price is what a machine costs in a month, in US dollars, by the price list that the API
// itself gives.
type Price struct {
	Plan    string  // the type's label, such as Nanode 1GB
	Machine float64 // a month
	Backups float64 // a month; 0 when the backup service is off
}

// Price gives the price of a machine: of its type, or of its region where that has a price
// of its own. A type without a price is an error.
func (c *Client) Price(ctx context.Context, inst Instance) (Price, error) {
	t, err := c.api.GetType(ctx, inst.Type)
	if err != nil {
		return Price{}, fmt.Errorf("linode type %s: %w", inst.Type, err)
	}
	p := Price{Plan: t.Label}
	var known bool
	if p.Machine, known = monthly(t.Price, t.RegionPrices, inst.Region); !known {
		return Price{}, migration.Errorf(
			migration.Unavailable,
			"the Linode API tells no monthly price of %s",
			inst.Type,
		)
	}
	if inst.Backups {
		if t.Addons == nil || t.Addons.Backups == nil {
			return Price{}, migration.Errorf(
				migration.Unavailable,
				"the Linode API tells no price of the backups of %s",
				inst.Type,
			)
		}
		if p.Backups, known = monthly(t.Addons.Backups.Price, t.Addons.Backups.RegionPrices, inst.Region); !known {
			return Price{}, migration.Errorf(
				migration.Unavailable,
				"the Linode API tells no price of the backups of %s",
				inst.Type,
			)
		}
	}
	return p, nil
}

func monthly(
	base *linodego.LinodePrice,
	regions []linodego.LinodeRegionPrice,
	region string,
) (float64, bool) {
	for _, r := range regions {
		if r.ID == region {
			return float64(r.Monthly), true
		}
	}
	if base == nil {
		return 0, false
	}
	return float64(base.Monthly), true
}
