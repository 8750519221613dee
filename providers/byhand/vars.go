package byhand

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

// Attests says which running instances of the app use what a variable gives them, and
// which run without. It is what the app says of itself.
type Attests func(ctx context.Context, name string) (using, without []string, err error)

// Vars are config vars that a person sets. It implements providers.ConfigVars.
type Vars struct {
	// App is what people call the app.
	App string
	// Attests is asked whether it is done.
	Attests Attests
}

// About implements providers.ConfigVars.
func (v Vars) About() providers.VarsAbout {
	return providers.VarsAbout{Service: "a person", Key: "ingestion.config_vars", App: v.App}
}

// Look implements providers.ConfigVars. Which value a variable has nobody but the app
// sees; that every running instance uses it is taken for the value that was asked for.
func (v Vars) Look(ctx context.Context, want providers.Var) (providers.VarState, error) {
	using, without, err := v.Attests(ctx, want.Name)
	if err != nil {
		return providers.VarState{}, providers.Unanswered(err)
	}
	state := providers.VarState{Is: providers.VarUnknown, Basis: providers.Basis{
		Proof:  migration.Attested,
		Source: "attestation by the running app: " + who(using, without),
	}}
	if len(using) > 0 && len(without) == 0 {
		state.Is = providers.VarAsIs
	}
	return state, nil
}

// who says which instances attest, for people.
func who(using, without []string) string {
	switch {
	case len(using)+len(without) == 0:
		return "no instance runs"
	case len(without) == 0:
		return fmt.Sprintf("all of %d instances use it", len(using))
	}
	return fmt.Sprintf("%d instances use it, %s not", len(using), strings.Join(without, ", "))
}

// Set implements providers.ConfigVars.
func (v Vars) Set(ctx context.Context, want providers.Var) (changed bool, err error) {
	if want.Name == "" || want.From == "" {
		return false, migration.Errorf(migration.Invalid,
			"a config var needs a name, and word of where its value comes from")
	}
	state, err := v.Look(ctx, want)
	if err != nil {
		return false, err
	}
	if state.Is != providers.VarAsIs {
		return false, providers.Refused(providers.ErrByHand,
			"a person sets %s of %s to %s and restarts it (%s)", want.Name, v.App, want.From,
			state.Basis.Source)
	}
	return false, nil
}

// Remove implements providers.ConfigVars.
func (v Vars) Remove(ctx context.Context, name string) (changed bool, err error) {
	using, _, err := v.Attests(ctx, name)
	if err != nil {
		return false, providers.Unanswered(err)
	}
	if len(using) > 0 {
		return false, providers.Refused(providers.ErrByHand,
			"a person removes %s of %s and restarts it: %s still use it", name, v.App,
			strings.Join(using, ", "))
	}
	return false, nil
}
