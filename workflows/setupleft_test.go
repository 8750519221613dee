package workflows

import (
	"testing"

	"github.com/switchyard-dev/switchyard/doctor"
	"github.com/switchyard-dev/switchyard/migration"
)

func TestASourceThatWasDisconnectedOnPurposeIsNotMissed(t *testing.T) {
	t.Parallel()
	all := found([]doctor.Finding{
		{Key: "source.standalone.url", State: doctor.Fails, Said: "refused", Next: "check it"},
		{Key: "queues", State: doctor.Fails, Said: "not there"},
		{Key: "target", State: doctor.Fails, Said: "refused"},
	})
	for source, want := range map[migration.SourceEndpoint][]doctor.State{
		migration.SourceNone:     {doctor.OK, doctor.OK, doctor.Fails},
		migration.SourceSentinel: {doctor.Fails, doctor.Fails, doctor.Fails},
	} {
		for i, f := range left(migration.Routing{Source: source}, all) {
			if f.State != want[i] || f.State == doctor.OK && f.Next != "" {
				t.Errorf("source %s: %+v", source, f)
			}
		}
	}
	if all[0].State != doctor.Fails {
		t.Error("what was found is written over")
	}
}
