package live

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// settle is how long the people at a page may change before its other readers are told: who
// reloads a page is gone for a moment only.
const settle = 500 * time.Millisecond

// Viewer is somebody who has a page open, as the session says.
type Viewer struct{ Name, Role string }

type viewerKey struct{}

// As says whose stream the request is for. Without it, nobody sees that the stream is open.
func As(c *fiber.Ctx, v Viewer) { c.Locals(viewerKey{}, v) }

// presence knows who has a stream of a topic open here. The zero value is ready.
type presence struct {
	mu    sync.Mutex
	here  map[string]map[Viewer]int // topic -> who, in how many streams
	shown map[string][]Viewer       // topic -> who its readers know of, where that may be old
	later func(func())              // calls after settle; nil: by the clock
}

// watched gives the topics of a page of which it is shown who looks at them: a run, or a step. The
// page of a step hears of its open run as well, and is not the run's page.
func watched(topics []string) []string {
	for _, kind := range []string{"step:", "run:"} {
		if i := slices.IndexFunc(topics, func(t string) bool {
			return strings.HasPrefix(t, kind)
		}); i >= 0 {
			return topics[i : i+1]
		}
	}
	return nil
}

// enter notes that somebody opened a stream, until the function that it gives is called.
func (h *Hub) enter(c *fiber.Ctx, topics []string) func() func() {
	v, _ := c.Locals(viewerKey{}).(Viewer)
	return func() func() {
		if v.Name == "" {
			return func() {}
		}
		h.count(v, topics, 1)
		return func() { h.count(v, topics, -1) }
	}
}

func (h *Hub) count(v Viewer, topics []string, n int) {
	p := &h.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here == nil {
		p.here, p.shown = map[string]map[Viewer]int{}, map[string][]Viewer{}
	}
	for _, topic := range watched(topics) {
		if _, pending := p.shown[topic]; !pending {
			p.shown[topic] = p.viewers(topic)
			p.wait(func() { h.settled(topic) })
		}
		if p.here[topic] == nil {
			p.here[topic] = map[Viewer]int{}
		}
		if p.here[topic][v] += n; p.here[topic][v] <= 0 {
			delete(p.here[topic], v)
		}
		if len(p.here[topic]) == 0 {
			delete(p.here, topic)
		}
	}
}

func (p *presence) wait(f func()) {
	if p.later != nil {
		p.later(f)
		return
	}
	time.AfterFunc(settle, f)
}

// settled tells the readers of a topic when the people there are not those they know of.
func (h *Hub) settled(topic string) {
	p := &h.presence
	p.mu.Lock()
	changed := !slices.Equal(p.shown[topic], p.viewers(topic))
	delete(p.shown, topic)
	p.mu.Unlock()
	if changed {
		h.Publish(topic)
	}
}

func (p *presence) viewers(topic string) []Viewer {
	return slices.SortedFunc(maps.Keys(p.here[topic]), func(a, b Viewer) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Here gives who else has a stream of a topic open at this server, by name.
func (h *Hub) Here(topic, but string) []Viewer {
	h.presence.mu.Lock()
	defer h.presence.mu.Unlock()
	return slices.DeleteFunc(h.presence.viewers(topic), func(v Viewer) bool {
		return v.Name == but
	})
}
