package heroku

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

// Vars are the config vars of one app. It implements providers.ConfigVars.
type Vars struct {
	// Client talks to the account.
	Client *Client
	// App is the app's name or id.
	App string
}

var byAPI = providers.Basis{Proof: migration.Observed, Source: "Heroku API"}

// About implements providers.ConfigVars.
func (v Vars) About() providers.VarsAbout {
	return providers.VarsAbout{Service: "Heroku", Key: "heroku", App: v.App,
		Can: providers.VarsCan{Read: true, Set: true}}
}

// app refuses to ask the API about no app: its answer would not say what to do.
func (v Vars) app() error {
	if v.App != "" {
		return nil
	}
	return migration.Errorf(
		migration.Blocked,
		"no app at Heroku is configured: set heroku.app and "+
			"token, or ingestion.config_vars: by-hand where a person sets the app's variables",
	)
}

// Look implements providers.ConfigVars.
func (v Vars) Look(ctx context.Context, want providers.Var) (providers.VarState, error) {
	if err := v.app(); err != nil {
		return providers.VarState{}, err
	}
	vars, err := v.Client.ConfigVars(ctx, v.App)
	if err != nil {
		return providers.VarState{}, providers.Unanswered(err)
	}
	state := providers.VarState{Is: providers.VarUnset, Basis: byAPI}
	if have, set := vars[want.Name]; set && have == want.Value {
		state.Is = providers.VarAsIs
	} else if set {
		state.Is = providers.VarOther
	}
	return state, nil
}

// Set implements providers.ConfigVars: it sets the variable and reads it back.
func (v Vars) Set(ctx context.Context, want providers.Var) (changed bool, err error) {
	if err := v.app(); err != nil {
		return false, err
	}
	if want.Name == "" || want.Value.IsZero() {
		return false, migration.Errorf(migration.Invalid, "a config var needs a name and a value")
	}
	changed, err = v.Client.SetConfigVars(ctx, v.App,
		map[string]*migration.Secret{want.Name: &want.Value})
	if err != nil {
		return changed, providers.Unanswered(err)
	}
	state, err := v.Look(ctx, want)
	if err != nil {
		return changed, err
	}
	if state.Is != providers.VarAsIs {
		return changed, migration.Errorf(migration.Unavailable,
			"the app's config var %s does not read back as it was set", want.Name)
	}
	return changed, nil
}

// Remove implements providers.ConfigVars.
func (v Vars) Remove(ctx context.Context, name string) (changed bool, err error) {
	if err := v.app(); err != nil {
		return false, err
	}
	changed, err = v.Client.SetConfigVars(ctx, v.App, map[string]*migration.Secret{name: nil})
	return changed, providers.Unanswered(err)
}
