package upstash

import (
	"math"
	"testing"
)

func TestPayAsYouGoIsBilledByCommandStorageAndTraffic(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		perSecond        float64
		stored, transfer int64
		want             float64
	}{
		"nothing costs nothing":                       {0, 0, 0, 0},
		"one command a second costs $5.184 a month":   {1, 0, 0, 5.184},
		"the first GB is free":                        {0, gib, 0, 0},
		"the second GB is not":                        {0, 2 * gib, 0, 0.25},
		"200 GB of traffic are free, the next is not": {0, 0, 300 * gib, 3},
		"all of it": {100, 3 * gib, 201 * gib, 518.4 + 0.5 + 0.03},
	} {
		if got := PayAsYouGoMonthly(c.perSecond, c.stored, c.transfer); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: $%v, want $%v", rule, got, c.want)
		}
	}
}

func TestFixed1GBIsCheaperFromFourCommandsASecond(t *testing.T) {
	t.Parallel()
	p, ok := PlanOf(Fixed1GB)
	if !ok || p.MonthlyUSD != 20 || p.MaxBytes != gib || p.MaxRequestBytes != 10*mib || p.MaxRecordBytes != 200*mib || p.Metered {
		t.Fatalf("%+v", p)
	}
	below, above := PayAsYouGoMonthly(3.8, 0, 0), PayAsYouGoMonthly(3.9, 0, 0)
	if below >= p.MonthlyUSD || above <= p.MonthlyUSD {
		t.Errorf("3.8 commands/s cost $%v, 3.9 $%v", below, above)
	}
}

func TestEveryFixedPlanIsToldByItsDataSize(t *testing.T) {
	t.Parallel()
	for _, p := range plans {
		name, why := Database{Type: "paid", DiskThreshold: p.MaxBytes}.PlanName()
		if fixed := p.MonthlyUSD > 0 && p.Name != "fixed_100gb"; fixed && name != p.Name {
			t.Errorf("%s is taken for %q (%s)", p.Name, name, why)
		}
	}
}
