package live

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told reports whether a stream is told as soon as it is open.
func told(h *Hub, since string, topics ...string) bool {
	sub, done := h.subscribe(topics, since)
	defer done()
	return sub.woken()
}

func (sub *subscriber) woken() bool {
	select {
	case <-sub.dirty:
		return true
	default:
		return false
	}
}

func TestAPageThatIsBehindIsToldAtOnce(t *testing.T) {
	t.Parallel()
	h := NewHub()
	start := h.Mark(h.Moment())
	if told(h, start, "overview") {
		t.Error("told although nothing happened")
	}
	h.Publish("flags")
	if told(h, start, "overview") {
		t.Error("told of a topic it does not show")
	}
	h.Publish("run:1")
	if !told(h, start, "overview", "run:1") || told(h, h.Mark(h.Moment()), "run:1") {
		t.Error("a page that is behind must be told, one that is not must not")
	}
	for _, since := range []string{"", "nonsense", NewHub().Mark(0), h.epoch + "-x"} {
		if !told(h, since, "overview") {
			t.Errorf("mark %q: nothing is known of this page, so it must fetch", since)
		}
	}
}

func TestManyChangesAreToldAtOnceAndOnceMoreAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		sub, done := h.subscribe([]string{"overview"}, h.Mark(0))
		defer done()
		h.Publish("overview")
		if !sub.woken() {
			t.Fatal("the first change must be told at once")
		}
		for range 1000 {
			h.Publish("overview") // must not block, though nobody reads
		}
		h.Publish("flags")
		if sub.woken() {
			t.Fatal("told again within the gap")
		}
		time.Sleep(gap)
		synctest.Wait()
		if !sub.woken() || sub.woken() {
			t.Fatal("what changed within the gap must be told at its end, once")
		}
		time.Sleep(10 * gap)
		synctest.Wait()
		if sub.woken() {
			t.Fatal("told although nothing happened")
		}
		h.Publish("overview")
		if !sub.woken() {
			t.Fatal("after a pause a change must be told at once")
		}
		time.Sleep(gap)
	})
}

// What is shared by readers may be as old as the last thing that any of them was told of, and no
// older.
func TestFreshIsWhatHoldsAllThatReadersKnowOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		both := []string{"overview", "run:1"}
		fresh := func(want bool, since uint64, why string) {
			t.Helper()
			if h.Fresh(both, since) != want {
				t.Error(why)
			}
		}
		fresh(true, 0, "nothing changed")
		h.Publish("flags")
		fresh(true, 0, "a topic changed that is not asked about")
		h.Publish("run:1")
		fresh(false, 1, "a topic changed and was told")
		before := h.Moment()
		h.Publish("run:1")
		fresh(true, before, "a change that nobody was told of yet")
		time.Sleep(gap)
		synctest.Wait()
		fresh(false, before, "the change was told at the end of the gap")
		fresh(true, h.Moment(), "read after everything")

		h.Publish("run:1") // told at the end of the gap; a page that shows it already comes now
		page := h.Moment()
		if told(h, h.Mark(page), both...) {
			t.Error("a page that shows the change is not behind")
		}
		fresh(false, page-1, "this reader knows of it, and must not be led back")
		time.Sleep(gap)
	})
}

// A reader who goes between a change and its being told comes back as one who is behind.
func TestAReaderWhoLeavesBeforeAChangeIsToldIsBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		topics := []string{"overview", "run:1"}
		h.Publish("overview")
		if mark := h.toldMark(topics); told(h, mark, topics...) {
			t.Error("told twice of one change")
		}
		h.Publish("overview")
		mark := h.toldMark(topics)
		if time.Sleep(gap); !told(h, mark, topics...) {
			t.Error("the change is lost for this reader")
		}
		time.Sleep(gap)
	})
}

// open serves a stream over a pipe, which holds nothing: whoever does not read is in the way.
func open(t *testing.T, h *Hub, allowed func() bool) (reader net.Conn, ended chan bool) {
	t.Helper()
	client, server := net.Pipe()
	ended = make(chan bool)
	go func() {
		defer close(ended)
		sub, done := h.subscribe([]string{"overview"}, h.Mark(h.Moment()))
		defer done()
		st := stream{hub: h, conn: server, log: slog.New(slog.DiscardHandler), allowed: allowed}
		st.run([]byte("HTTP/1.1 200 OK\r\n\r\n"), sub)
		_ = server.Close()
	}()
	return client, ended
}

func yes() bool { return true }

func TestASlowReaderIsLetGoAndCountedAndDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		_, slow := open(t, h, yes)
		reader, ended := open(t, h, yes)
		lines := bufio.NewScanner(reader)
		heard := make(chan string, 100)
		go func() {
			for lines.Scan() {
				if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
					heard <- event
				}
			}
		}()
		<-heard
		h.Publish("overview")
		began := time.Now()
		if event := <-heard; event != "update" || time.Since(began) > 0 {
			t.Errorf("%s after %s", event, time.Since(began))
		}
		<-slow
		if h.Slow() != 1 || h.Count() != 1 || time.Since(began) > writeTimeout {
			t.Errorf("%d slow, %d open after %s", h.Slow(), h.Count(), time.Since(began))
		}
		_ = reader.Close()
		<-ended
		if h.Slow() != 1 || h.Count() != 0 {
			t.Errorf("%d slow, %d open: leaving is not being slow", h.Slow(), h.Count())
		}
		time.Sleep(gap)
	})
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]func() bool{
		"the session has ended": func() bool { return false },
		"asking panics":         func() bool { panic("canary") },
	} {
		synctest.Test(t, func(t *testing.T) {
			reader, ended := open(t, NewHub(), allowed)
			began := time.Now()
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			if <-ended; time.Since(began) != beatEvery {
				t.Errorf("%s: ended after %s", name, time.Since(began))
			}
		})
	}
}

// An idle reader gets its heartbeats, and every third time it is asked to look again.
func TestAnIdleReaderCostsAFewBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		reader, ended := open(t, h, yes)
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(reader)
			got <- all
		}()
		const minutes = 10
		time.Sleep(minutes * time.Minute)
		h.Close()
		<-ended
		all := <-got
		if n := strings.Count(string(all), "update"); n != 2*minutes {
			t.Errorf("asked to look again %d times", n)
		}
		if perSecond := float64(len(all)) / (minutes * 60); perSecond > 10 {
			t.Errorf("%.1f bytes a second", perSecond)
		}
	})
}
