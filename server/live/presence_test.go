package live

import (
	"slices"
	"testing"
	"time"
)

// told waits until a stream is told that its topic changed.
func (sub *subscriber) told(t *testing.T) {
	t.Helper()
	select {
	case <-sub.dirty:
	case <-time.After(20 * time.Second):
		t.Fatal("not told")
	}
}

func TestReadersOfATopicHearWhoComesAndGoesOnce(t *testing.T) {
	t.Parallel()
	h := NewHub()
	ada, grace := Viewer{"ada", "engineer"}, Viewer{"grace", "viewer"}
	topics := []string{"run:1", "overview"}
	sub, done := h.subscribe(topics, h.Mark(h.Moment()))
	defer done()
	h.count(ada, topics, 1)
	sub.told(t)
	h.count(grace, topics, 1)
	h.count(grace, topics, 1) // two tabs
	sub.told(t)
	if got := h.Here("run:1", "ada"); !slices.Equal(got, []Viewer{grace}) {
		t.Errorf("ada sees %v", got)
	}
	if got := h.Here("overview", "ada"); len(got) > 0 {
		t.Errorf("who has the overview open is shown: %v", got)
	}
	h.count(grace, topics, -1)
	if got := h.Here("run:1", "ada"); len(got) != 1 {
		t.Errorf("with one of two tabs closed she is gone: %v", got)
	}
	h.count(grace, topics, -1)
	if got := h.Here("run:1", "ada"); len(got) > 0 {
		t.Errorf("gone and still shown: %v", got)
	}
	h.count(ada, topics, -1)
	sub.told(t)
	if h.presence.here["run:1"] != nil {
		t.Error("a topic without readers is kept")
	}
}

func TestReloadingAPageTellsNobody(t *testing.T) {
	t.Parallel()
	h := NewHub()
	h.presence.later = func(func()) {} // this test says when
	v, topics := Viewer{"ada", "engineer"}, []string{"run:1"}
	h.count(v, topics, 1)
	h.settled("run:1")
	before := h.Mark(h.Moment())
	h.count(v, topics, -1)
	h.count(v, topics, 1)
	h.settled("run:1")
	if h.Mark(h.Moment()) != before {
		t.Error("who was gone for a moment made the others fetch their pages")
	}
}

func TestThePageOfAStepIsNotThatOfItsOpenRun(t *testing.T) {
	t.Parallel()
	h := NewHub()
	h.count(Viewer{"ada", "engineer"}, []string{"overview", "step:audit", "run:1"}, 1)
	if got := h.Here("run:1", ""); len(got) > 0 {
		t.Errorf("%v looks at the step", got)
	}
	if got := h.Here("step:audit", ""); len(got) != 1 {
		t.Errorf("at the step: %v", got)
	}
}
