package cli

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
)

// answers asks for what no flag says, and has the doctor ask each address. Secrets that the
// environment holds are used; those that are typed are kept nowhere.
type answers struct {
	*shell
	*initCmd
}

// source asks until a server answers.
func (a answers) source() error {
	given := migration.Secret(cmp.Or(a.Source, a.getenv(envSource)))
	for typed := given.IsZero(); ; {
		if typed {
			var err error
			given, err = a.asks.askSecret(a.ctx,
				"Redis that the queues are on, redis://user:password@host:port")
			if err != nil {
				return err
			}
		}
		if !given.IsZero() {
			var c config.Config
			c.Source.Standalone.URL = given
			reached := a.probe(c)
			if reached || !typed || a.CA != "" { // the doctor knows no private authority of a source
				a.Source = given.Reveal()
				return nil
			}
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
	}
}

// sentinels asks for a deployment, which need not be there yet.
func (a answers) sentinels() error {
	for len(a.Sentinel) == 0 {
		text, err := a.asks.ask(a.ctx,
			"Sentinels, as host:port with commas; empty: none yet", "")
		if err != nil || text == "" {
			return err
		}
		addrs, err := hostPorts(text)
		if err != nil {
			a.say(err)
			continue
		}
		a.Sentinel = addrs
		if a.Master == "" {
			if a.Master, err = a.asks.ask(a.ctx, "What they call the master", defaultMaster); err != nil {
				return err
			}
		}
	}
	var c config.Config
	s := &c.Source.Sentinel
	s.Addrs, s.Master = a.Sentinel, cmp.Or(a.Master, defaultMaster)
	for _, p := range []struct {
		env, of string
		at      *migration.Secret
	}{
		{"REDIS_PASSWORD", "of the data servers", &s.Password},
		{"SENTINEL_PASSWORD", "of the sentinels", &s.SentinelPassword},
	} {
		*p.at = migration.Secret(a.getenv(p.env))
		if !p.at.IsZero() {
			continue
		}
		given, err := a.asks.askSecret(a.ctx, "Password "+p.of+"; empty: none")
		if err != nil {
			return err
		}
		*p.at = given
	}
	a.probe(c)
	return nil
}

func hostPorts(text string) ([]string, error) {
	var out []string
	for _, addr := range strings.Split(text, ",") {
		addr = strings.TrimSpace(addr)
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host == "" || port == "" {
			return nil, migration.Errorf(migration.Invalid, "%.60q is not host:port", addr)
		}
		out = append(out, addr)
	}
	return out, nil
}

// app asks where the app is.
func (a answers) app() error {
	for a.App == "" {
		text, err := a.asks.ask(a.ctx, "URL of the app", defaultApp)
		if err != nil {
			return err
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			a.say("an http(s) URL without credentials is needed")
			continue
		}
		a.App = text
	}
	var c config.Config
	c.Ingestion.URL = a.App
	c.Ingestion.Token = migration.Secret(a.getenv("INGESTION_TOKEN"))
	a.probe(c)
	return nil
}

// target asks for the managed Redis, which need not be there yet.
func (a answers) target() (*config.DraftTarget, error) {
	given := migration.Secret(a.getenv("TARGET_REDIS_URL"))
	if given.IsZero() {
		var err error
		given, err = a.asks.askSecret(a.ctx,
			"Managed Redis, rediss://user:password@host:port; empty: later")
		if err != nil || given.IsZero() {
			return nil, err
		}
	}
	var c config.Config
	c.Target.URL = given
	a.probe(c)
	var t config.DraftTarget
	for {
		name, err := a.asks.ask(a.ctx, "Its plan, if it is a known one such as upstash/fixed-1gb; "+
			"empty: its limits are filled in later", "")
		if err != nil {
			return nil, err
		}
		if err := config.KnownPlan(name); err != nil {
			a.say(err)
			continue
		}
		t.Known = name
		break
	}
	var err error
	t.Region, err = a.asks.ask(a.ctx, "Its region, such as us-east-1; empty: later", "")
	return &t, err
}

// probe tells what the doctor finds, and whether nothing of it fails to answer.
func (a answers) probe(c config.Config) (reached bool) {
	doctor.Probe(a.ctx, c, func(f doctor.Finding) {
		tellFinding(a.shell, f)
		reached = reached || f.State == doctor.OK
	})
	return reached
}

func (a answers) say(what any) { _, _ = fmt.Fprintln(a.stdout, what) }
