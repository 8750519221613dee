// Package providers says what a migration needs of the services that host it, whoever
// they are: Managed is the managed Redis that the queues move to, Host has the machines
// of the old servers, ConfigVars is where the app gets its configuration from. A folder
// for each implementation; those for services with an API are named after the service,
// byurl and byhand are for everything else.
//
// Whatever a provider says comes with its Basis: observed, where Switchyard asked the
// service itself; attested, where the configuration or a person says so; documented,
// where it is a vendor's price list. Evidence must not claim more than that.
//
// Every implementation passes one suite of tests: see providerstest.
package providers

import (
	"errors"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// Why a provider refuses. Both come with an error of kind Blocked that says what to do
// instead, and with nothing changed.
var (
	// ErrUnsupported: the service cannot do it, and nobody else can by way of it.
	ErrUnsupported = errors.New("the service does not offer it")
	// ErrByHand: a person does it, and has not yet. The same call succeeds once it is
	// done.
	ErrByHand = errors.New("a person does it")
)

// Refused makes the error of something that a provider does not do: of kind Blocked, with
// why as one of ErrUnsupported and ErrByHand. The text says what there is to do instead.
func Refused(why error, format string, args ...any) error {
	return refusal{migration.Errorf(migration.Blocked, format, args...), why}
}

type refusal struct {
	error
	why error
}

func (r refusal) Unwrap() []error { return []error{r.error, r.why} }

// Basis is how well something is known that a provider says, and from where.
type Basis struct {
	Proof  migration.Proof `json:"proof"`
	Source string          `json:"source"` // in a few words, for people
}

// Weakest is the basis of a statement that rests on all of these: the weakest proof of
// them, with every source named once. Without any it is the zero Basis, which proves
// nothing.
func Weakest(all ...Basis) Basis {
	rank := map[migration.Proof]int{
		migration.Observed:   3,
		migration.Attested:   2,
		migration.Documented: 1,
	}
	var out Basis
	var sources []string
	seen := map[string]bool{}
	for i, b := range all {
		if i == 0 || rank[b.Proof] < rank[out.Proof] {
			out.Proof = b.Proof
		}
		for source := range strings.SplitSeq(b.Source, and) {
			if source != "" && !seen[source] {
				seen[source] = true
				sources = append(sources, source)
			}
		}
	}
	out.Source = strings.Join(sources, and)
	return out
}

// and is between the sources of a Basis that has several.
const and = "; "

// Unanswered gives an error of a service the kind Unavailable, unless it has a kind
// already.
func Unanswered(err error) error {
	if err == nil || migration.KindOf(err) != migration.Internal {
		return err
	}
	return migration.Errorf(migration.Unavailable, "%w", err)
}
