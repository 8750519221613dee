package alarm

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

func TestWhatIsLeftOnAServerIsCriticalAndNotOverWhileNobodyCouldLook(t *testing.T) {
	t.Parallel()
	const a, b = "10.0.0.1:6379", "10.0.0.2:6379"
	s := judgeLeft(environment.Looked{
		Left:    []environment.Left{{Kind: migration.DebtFence, Server: a, Measured: "m", Next: "n"}},
		Asked:   []string{a},
		Unasked: map[string]string{b: "it does not answer"},
	}, "orders", "")
	if len(s.alerts) != 1 || s.alerts[0].Severity != notify.Critical {
		t.Errorf("%+v", s.alerts)
	}
	if !s.judges(notify.Key("orders", "left", a, "fence")) ||
		s.judges(notify.Key("orders", "left", b, "fence")) {
		t.Errorf("judged are %v", s.judged)
	}
	all := judgeLeft(environment.Looked{Asked: []string{a}}, "orders", "")
	if !all.judges(notify.Key("orders", "left", "a server that is gone", "fence")) {
		t.Errorf("judged are %v", all.judged)
	}
}
