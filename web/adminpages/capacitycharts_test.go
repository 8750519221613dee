package adminpages

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/workflows"
)

// hoursOf gives n hours before now, in which the data grows by 1 MiB an hour.
func hoursOf(now time.Time, n int) (out []capacity.Hour) {
	for i := range n {
		out = append(out, capacity.Hour{
			Start: now.Truncate(time.Hour).Add(time.Duration(i-n+1) * time.Hour), Seen: time.Hour,
			Commands: 3600, Peak: 40, Memory: int64(100+i) << 20, Connections: 3,
		})
	}
	return out
}

func capacityOf(now time.Time, hours []capacity.Hour) Capacity {
	return Capacity{MigrationID: "m", Now: now, Capacity: workflows.Capacity{
		Sides: []workflows.SideLoad{
			{Side: "source", Hours: hours,
				Uses: capacity.Uses(hours, capacity.Limits{Memory: 1 << 30,
					CommandsPerSecond: 1000})},
			{Side: "target", Uses: capacity.Uses(nil, capacity.Limits{})},
		}}}
}

func TestWhatIsProjectedIsALineOfItsOwnAfterWhatWasMeasured(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	g, ok := loadCharts(capacityOf(now, hoursOf(now, 21*24)))
	if !ok || len(g.Charts) != 2 || !g.Own {
		t.Fatalf("%v, %d charts", ok, len(g.Charts))
	}
	nowStep := int(now.Sub(g.View.Since).Milliseconds() / g.View.StepMS)
	for _, s := range g.View.Series {
		projected := slices.ContainsFunc(g.Charts, func(c charts.Chart) bool {
			return slices.Contains(c.Projected, s.Name)
		})
		first, last := s.Steps[0], s.Steps[len(s.Steps)-1]
		if projected && first < nowStep {
			t.Errorf("%s is projected and begins at step %d, before now, %d", s.Name, first, nowStep)
		}
		if !projected && last > nowStep {
			t.Errorf("%s is measured and ends at step %d, after now, %d", s.Name, last, nowStep)
		}
	}
	memory := g.View.Series[1]
	if memory.Name != "memory_source_projected" || memory.Title != "Source, projected" {
		t.Errorf("%s, %s", memory.Name, memory.Title)
	}
	if end := memory.Mean[len(memory.Mean)-1]; end < 603+27*24 || end > 603+29*24 {
		t.Errorf("in 28 days it is %.1f MiB", end)
	}
}

func TestNothingIsProjectedFromLessThanADay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	g, ok := loadCharts(capacityOf(now, hoursOf(now, 6)))
	if !ok || len(g.View.Series) != 2 || len(g.Charts[0].Projected) != 0 {
		t.Errorf("%v, %d series", ok, len(g.View.Series))
	}
	if end := g.View.Until; end.After(now.Add(time.Hour)) {
		t.Errorf("the axis goes on to %s", end)
	}
	if _, ok := loadCharts(capacityOf(now, nil)); ok {
		t.Error("there are charts of nothing")
	}
}
