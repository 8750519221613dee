package server

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestCutoverOffersOnlyPossibleMoves(t *testing.T) {
	t.Parallel()
	moves := func(r migration.Routing, next ...migration.Params) (string, string) {
		o := migration.Overview{Routing: r}
		for _, p := range next {
			o.NextSteps = append(o.NextSteps,
				migration.NextStep{Verb: "start", Step: migration.StepCutover, Params: p})
		}
		chosen, v := cutover(o, migration.Params{})
		var out []string
		for _, m := range v.Moves {
			if err := r.Check(m.StageMove); err != nil {
				t.Errorf("from %s: %v", r, err)
			}
			out = append(out, m.Kind+" "+m.StageMove.String())
		}
		return strings.Join(out, ", "), chosen.Move().String()
	}
	for _, c := range []struct {
		from         migration.Routing
		next         []migration.Params
		want, chosen string
	}{
		{
			migration.Routing{Stage: migration.StageOff},
			[]migration.Params{{To: migration.StageDualWrite}},
			"forward dual write", "dual write",
		},
		{
			migration.Routing{Stage: migration.StageShadow},
			[]migration.Params{{To: migration.StageDualWrite}},
			"back dual write, forward live at 10 %", "dual write",
		},
		{
			migration.Routing{Stage: migration.StageLive, Ramp: 25},
			[]migration.Params{{To: migration.StageLive, Ramp: 50}},
			"ramp live at 50 %, ramp live at 100 %, back shadow", "live at 50 %",
		},
		{
			migration.Routing{Stage: migration.StageLive, Ramp: 100},
			[]migration.Params{{To: migration.StageRampDown}},
			"forward ramp down, back shadow", "ramp down",
		},
		{migration.Routing{Stage: migration.StageComplete}, nil, "back ramp down", "ramp down"},
	} {
		if got, chosen := moves(c.from, c.next...); got != c.want || chosen != c.chosen {
			t.Errorf("from %s: %s (shown %s), want %s (%s)",
				c.from, got, chosen, c.want, c.chosen)
		}
	}
}

func TestTheManagedRedisIsExported(t *testing.T) {
	t.Parallel()
	st := serve(t)
	grace, page := st.as(t, "grace", viewerPass), st.browser(t, "grace", viewerPass)
	for format, want := range map[string]string{
		"terraform": `resource "upstash_redis_database"`, "helm": "secretKeyRef",
	} {
		e, err := grace.Export(t.Context(), mid, format)
		if err != nil || !strings.Contains(e.Text, want) || e.Format != format {
			t.Errorf("%s: %v, %s", format, err, e.Text)
		}
		r := page.get("/m/" + mid + "/exports/" + format)
		got := r.header.Get("Content-Disposition")
		if r.status != 200 || r.text != e.Text || got != "attachment; filename="+e.File {
			t.Errorf("%s: %d, %q", format, r.status, got)
		}
	}
	_, err := grace.Export(t.Context(), mid, "pulumi")
	if migration.KindOf(err) != migration.Invalid {
		t.Errorf("an unknown format: %v", err)
	}
	if r := page.get("/m/" + mid + "/exports/pulumi"); r.status != 400 {
		t.Errorf("an unknown format: %d", r.status)
	}
}
