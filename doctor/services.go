package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// target says whether the managed Redis is there, or can be made.
func (e examiner) target(ctx context.Context) []Finding {
	m := e.Managed(e.http)
	offer := m.Offer()
	needed := slices.Concat(provisioned, moving)
	if e.Target.Settings.IsZero() && e.Target.Upstash.APIKey.IsZero() {
		return []Finding{{Key: "target", State: Absent, Said: "no managed Redis",
			Next: "Give target.upstash with email and api_key, or target.url.", For: needed}}
	}
	found, err := m.Find(ctx)
	if err != nil {
		return []Finding{failed(offer.Key, err, "Check the address and the key.", needed...)}
	}
	if bad := migration.Failing(found.Fit); len(bad) > 0 {
		var said, next []string
		for _, b := range bad {
			said, next = append(said, b.Title+": "+b.Measured), append(next, b.Next)
		}
		return []Finding{{Key: offer.Key, State: Fails, Said: strings.Join(said, "; "),
			Next: strings.Join(next, " "), For: needed}}
	}
	if !found.Exists {
		return []Finding{ok(offer.Key, fmt.Sprintf("%s lets us in; %s is not there yet, "+
			"and Provision makes it", offer.Service, offer.Name))}
	}
	said := fmt.Sprintf("%s: %s, %s", offer.Service, found.Database.Name, found.Database.State)
	if !e.Target.URL.IsZero() {
		said += e.targetServer(ctx)
	}
	return []Finding{ok(offer.Key, said)}
}

// targetServer describes the server at target.url, which answers.
func (e examiner) targetServer(ctx context.Context) string {
	endpoint := redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: e.Target.URL,
		CAFile: e.Target.CAFile}
	c, err := redisconn.Open(endpoint)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	facts, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return ""
	}
	return ", " + described(endpoint, facts)
}

// machines says whether each machine of the old servers is the configured one.
func (e examiner) machines(ctx context.Context) []Finding {
	machines := e.Source.OldMachines()
	if e.Source.Machines == byhand.Name {
		var labels []string
		for _, m := range machines {
			labels = append(labels, m.Label)
		}
		return []Finding{ok("source.machines", "a person looks after "+list(labels, "no machine"))}
	}
	needed := decommission
	if e.Linode.Token.IsZero() {
		return []Finding{{Key: "linode.token", State: Absent, Said: "no account of the machines",
			Next: "Give linode.token, or source.machines: by-hand.", For: needed}}
	}
	if len(machines) == 0 {
		return []Finding{{Key: "source.standalone.linode_id", State: Absent,
			Said: "no machine of the old servers", Next: "Give linode_id and linode_label.",
			For: needed}}
	}
	h, err := e.Host(e.http, nil, nil)
	if err != nil {
		return []Finding{failed("linode", err, "Correct linode.", needed...)}
	}
	var out []Finding
	for _, m := range machines {
		const key = "linode"
		s, err := h.Describe(ctx, m)
		switch {
		case err != nil:
			out = append(out, failed(key, fmt.Errorf("%s: %w", m, err), "Check the token.", needed...))
		case s.Status == providers.MachineDeleted:
			out = append(out, Finding{Key: key, State: Fails, Said: m.String() + ": there is none",
				Next: "Correct linode_id.", For: needed})
		case s.Label != m.Label:
			out = append(out, Finding{Key: key, State: Fails,
				Said: fmt.Sprintf("machine %s is labelled %q there", m, s.Label),
				Next: "Correct linode_id or linode_label.", For: needed})
		default:
			out = append(out, ok(key, m.String()+": "+s.Status))
		}
	}
	return out
}

// targetVar is the variable that the app learns the target's address from.
const targetVar = "TARGET_REDIS_URL"

// vars says whether the app's variables can be read.
func (e examiner) vars(ctx context.Context) []Finding {
	needed := slices.Concat(provisioned, parallel)
	v := e.ConfigVars(e.http, nil)
	if e.Ingestion.ConfigVars == byhand.Name {
		return []Finding{ok("ingestion.config_vars", "a person sets "+targetVar+" of the app")}
	}
	if e.Heroku.Token.IsZero() || e.Heroku.App == "" {
		return []Finding{{Key: "heroku", State: Absent, Said: "nobody sets the app's variables",
			Next: "Give heroku.token and heroku.app, or ingestion.config_vars: by-hand.",
			For:  needed}}
	}
	about := v.About()
	s, err := v.Look(ctx, providers.Var{Name: targetVar})
	if err != nil {
		return []Finding{failed(about.Key, err, "Check heroku.token and heroku.app.", needed...)}
	}
	return []Finding{ok(about.Key, fmt.Sprintf("%s lets us in; %s of %s is %s", about.Service,
		targetVar, about.App, s.Is))}
}

// app says whether each instance of the app answers, and whose journal it has.
func (e examiner) app(ctx context.Context) []Finding {
	key, urls := "ingestion.url", []string{e.Ingestion.URL}
	if len(e.Ingestion.Instances) > 0 {
		key, urls = "ingestion.instances", e.Ingestion.Instances
	}
	needed := slices.Concat(breaker, retry, moving)
	var out []Finding
	for _, u := range urls {
		asked, cancel := context.WithTimeout(ctx, patience)
		page, err := ingestion.New(u, e.Ingestion.Token, e.http).Journal(asked, 0, 1)
		cancel()
		if err != nil {
			out = append(out, failed(key, fmt.Errorf("%s: %w", u, err), "Start the app, and check "+
				"its address and ingestion.token: Switchyard reads the journal at "+
				"/switchyard/journal.", needed...))
			continue
		}
		who := page.Instance
		if who == "" {
			who = "an instance that does not tell its name"
		}
		said := fmt.Sprintf("%s: journal of %s", u, who)
		if off := page.Clock.Off(); off > time.Second {
			out = append(out, Finding{Key: key, State: Fails, Said: said + fmt.Sprintf(
				", whose clock is off by %s", migration.Words(off)),
				Next: "Set both clocks by NTP.", For: needed})
			continue
		}
		out = append(out, ok(key, said))
	}
	return out
}
