package providers

import (
	"context"

	"github.com/switchyard-dev/switchyard/migration"
)

// ConfigVars is where the app gets its configuration from: variables of its environment.
// Changing one restarts the app, so it is how an app learns a new address, never how
// traffic is cut over. It is safe for concurrent use.
//
// It never hands out what a variable holds: it says whether that is what it should be.
//
// Every method that asks the service fails with the kind Unavailable when it does not
// answer, or not as documented. No error holds a value.
type ConfigVars interface {
	// About says whose variables these are and what can be done with them. It asks
	// nobody.
	About() VarsAbout
	// Look says whether the app has the variable, and whether it holds the value of v.
	// What the service does not let Switchyard read is VarUnknown until the app itself
	// attests it.
	Look(ctx context.Context, v Var) (VarState, error)
	// Set returns when the app has the variable with that value; changed says whether
	// this call changed it, which restarts the app. Blocked: a person sets it, and no
	// running app attests it yet (ErrByHand); the text says what to set, and from where,
	// without the value.
	Set(ctx context.Context, v Var) (changed bool, err error)
	// Remove returns when the app does not have the variable. Blocked: a person removes
	// it, and a running app still attests it (ErrByHand).
	Remove(ctx context.Context, name string) (changed bool, err error)
}

// VarsAbout says whose variables these are.
type VarsAbout struct {
	Service string // for people: "Heroku"
	Key     string // of the configuration: "heroku"
	App     string // for people
	Can     VarsCan
}

// VarsCan is what Switchyard can do with the variables. What is false a person does.
type VarsCan struct {
	Read bool
	Set  bool // and remove
}

// Var is a variable as it should be.
type Var struct {
	Name  string
	Value migration.Secret
	From  string // where a person finds the value: "the URL of target.url"; never the value
}

// VarIs is what is known of a variable.
type VarIs string

// What a variable can be.
const (
	VarUnset   VarIs = "unset"
	VarAsIs    VarIs = "as wanted"
	VarOther   VarIs = "another value"
	VarUnknown VarIs = "not known"
)

// VarState is what is known of a variable, and from where.
type VarState struct {
	Is    VarIs
	Basis Basis
}
