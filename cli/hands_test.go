package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// person notes what is done by hand.
type person struct{ did []string }

func (p *person) note(what string) error {
	p.did = append(p.did, what)
	return nil
}
func (*person) Machines() []string                            { return []string{"a", "b"} }
func (p *person) SwitchOff(_ context.Context, m string) error { return p.note("off " + m) }
func (p *person) SwitchOn(_ context.Context, m string) error  { return p.note("on " + m) }
func (p *person) Discard(_ context.Context, m string) error   { return p.note("delete " + m) }
func (p *person) SetTarget(context.Context) error             { return p.note("set") }
func (p *person) UnsetTarget(context.Context) error           { return p.note("unset") }

func TestAPersonTypesWhatIsDoneByHand(t *testing.T) {
	t.Parallel()
	var p person
	var said strings.Builder
	typed := "set\n\noff all\non b\ndelete a\nunset\nset it\noff\npaint a\n"
	hands(t.Context(), &p, strings.NewReader(typed), func(format string, args ...any) {
		fmt.Fprintf(&said, format+"\n", args...)
	})
	if want := []string{"set", "off a", "off b", "on b", "delete a", "unset"}; !slices.Equal(
		p.did, want) {
		t.Errorf("did %v, want %v", p.did, want)
	}
	for _, wrong := range []string{"set it", "off", "paint a"} {
		if !strings.Contains(said.String(), fmt.Sprintf("%q is not understood", wrong)) {
			t.Errorf("%q was understood:\n%s", wrong, said.String())
		}
	}
}
