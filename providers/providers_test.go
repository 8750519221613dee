package providers_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

func TestEvidenceClaimsNoMoreThanTheWeakestOfWhatItRestsOn(t *testing.T) {
	t.Parallel()
	observed := providers.Basis{Proof: migration.Observed, Source: "API"}
	attested := providers.Basis{Proof: migration.Attested, Source: "configuration"}
	documented := providers.Basis{Proof: migration.Documented, Source: "price list"}
	for _, c := range []struct {
		all  []providers.Basis
		want providers.Basis
	}{
		{nil, providers.Basis{}},
		{[]providers.Basis{observed, observed}, observed},
		{[]providers.Basis{observed, attested},
			providers.Basis{Proof: migration.Attested, Source: "API; configuration"}},
		{[]providers.Basis{documented, attested, documented},
			providers.Basis{Proof: migration.Documented, Source: "price list; configuration"}},
		{[]providers.Basis{providers.Weakest(attested, documented), attested, observed},
			providers.Basis{Proof: migration.Documented, Source: "configuration; price list; API"}},
		{[]providers.Basis{observed, {}}, providers.Basis{Source: "API"}}, // nothing proves nothing
	} {
		if got := providers.Weakest(c.all...); got != c.want {
			t.Errorf("%v: %v, want %v", c.all, got, c.want)
		}
	}
}

func TestARefusalSaysWhyAndIsOfKindBlocked(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("power off: %w",
		providers.Refused(providers.ErrByHand, "switch %s off", "redis"))
	if migration.KindOf(err) != migration.Blocked || !errors.Is(err, providers.ErrByHand) ||
		errors.Is(err, providers.ErrUnsupported) || err.Error() != "power off: switch redis off" {
		t.Errorf("%v of kind %s", err, migration.KindOf(err))
	}
}

func TestWhatAServiceDoesNotAnswerIsUnavailableUnlessItSaysMore(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	err := providers.Unanswered(fmt.Errorf("list: %w", cause))
	if migration.KindOf(err) != migration.Unavailable || !errors.Is(err, cause) {
		t.Errorf("%v of kind %s", err, migration.KindOf(err))
	}
	if err := providers.Unanswered(migration.Errorf(migration.Conflict,
		"two")); migration.KindOf(err) != migration.Conflict {
		t.Errorf("%v of kind %s", err, migration.KindOf(err))
	}
	if err := providers.Unanswered(nil); err != nil {
		t.Error(err)
	}
}
