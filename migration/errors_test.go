package migration

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestTheKindOfAnErrorSurvivesWrapping(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("outer: %w", Errorf(Conflict, "run %s: %w", "r1", io.EOF))
	if KindOf(err) != Conflict || !errors.Is(err, io.EOF) || err.Error() != "outer: run r1: the connection broke off" {
		t.Fatalf("kind %s, %v", KindOf(err), err)
	}
	if KindOf(io.EOF) != Internal || KindOf(nil) != Internal {
		t.Fatal("a foreign error is not internal")
	}
}

func TestRunStates(t *testing.T) {
	t.Parallel()
	for state, open := range map[RunState]bool{RunAwaitingApproval: true, RunQueued: true, RunRunning: true, RunUndoing: true,
		RunSucceeded: false, RunFailed: false, RunCancelled: false, RunRejected: false, "": false} {
		if state.Open() != open {
			t.Errorf("%q: open %v", state, state.Open())
		}
	}
}
