package live

import "testing"

func TestAPageThatIsBehindIsToldAtOnce(t *testing.T) {
	t.Parallel()
	h := NewHub()
	told := func(since string, topics ...string) bool {
		sub, done := h.subscribe(topics, since)
		defer done()
		select {
		case <-sub.dirty:
			return true
		default:
			return false
		}
	}
	start := h.Mark()
	if told(start, "overview") {
		t.Error("told although nothing happened")
	}
	h.Publish("flags")
	if told(start, "overview") {
		t.Error("told of a topic it does not show")
	}
	h.Publish("run:1")
	if !told(start, "overview", "run:1") || told(h.Mark(), "run:1") {
		t.Error("a page that is behind must be told, one that is not must not")
	}
	for _, since := range []string{"", "nonsense", NewHub().Mark(), h.epoch + "-x"} {
		if !told(since, "overview") {
			t.Errorf("mark %q: nothing is known of this page, so it must fetch", since)
		}
	}
}

func TestManyChangesAreOneNotice(t *testing.T) {
	t.Parallel()
	h := NewHub()
	sub, done := h.subscribe([]string{"overview"}, h.Mark())
	defer done()
	for range 1000 {
		h.Publish("overview") // must not block, though nobody reads
	}
	<-sub.dirty
	select {
	case <-sub.dirty:
		t.Error("told twice")
	default:
	}
}
