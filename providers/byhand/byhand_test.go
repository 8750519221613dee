package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

// notes is a Keeper in memory.
type notes map[string][]byte

func (n notes) Setting(_ context.Context, key string, v any) (bool, error) {
	text, is := n[key]
	if !is {
		return false, nil
	}
	return true, json.Unmarshal(text, v)
}

func (n notes) SetSetting(_ context.Context, key string, v any) error {
	text, err := json.Marshal(v)
	n[key] = text
	return err
}

var (
	box = providers.Machine{ID: "box", Label: "box", Addrs: []string{"box:6379", "box:22"}}
	at  = time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func host(keeper Keeper, silentFor time.Duration, dial dialer) *Host {
	return NewHost(HostConfig{Machines: []Machine{{Label: "box"}}, Keeper: keeper,
		SilentFor: silentFor, Dial: dial, Alive: func(context.Context) error { return nil }})
}

// answering is a dialer that gives every address the same error; nil takes the
// connection.
func answering(err error) dialer {
	return func(context.Context, string, string) (net.Conn, error) {
		if err != nil {
			return nil, &net.OpError{Op: "dial", Err: err}
		}
		here, there := net.Pipe()
		_ = there.Close()
		return here, nil
	}
}

func TestOnlyWhatTheMachineWouldDoWhenItIsOffCountsAsSilence(t *testing.T) {
	t.Parallel()
	const here = migration.Unavailable // the reason is on this side
	system := os.NewSyscallError
	for rule, c := range map[string]struct {
		err  error
		kind migration.Kind // of PowerOff once somebody confirmed; "": it is off
	}{
		"refused":                  {system("connect", syscall.ECONNREFUSED), ""},
		"no answer in time":        {os.ErrDeadlineExceeded, ""},
		"no route to the host":     {system("connect", syscall.EHOSTUNREACH), ""},
		"taken":                    {nil, migration.Conflict},
		"the network is down here": {system("connect", syscall.ENETUNREACH), here},
		"too many open files":      {syscall.EMFILE, here},
		"its name is not known":    {&net.DNSError{Err: "no such host", IsNotFound: true}, here},
		"no name server answers":   {&net.DNSError{Err: "i/o timeout", IsTimeout: true}, here},
		"what nobody expects":      {io.ErrUnexpectedEOF, here},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			h := host(notes{}, 0, answering(c.err))
			if err := h.Confirm(t.Context(), providers.SwitchedOff, box, "ada", at); err != nil {
				t.Fatal(err)
			}
			err := h.PowerOff(t.Context(), box)
			if c.kind == "" && err != nil || c.kind != "" && migration.KindOf(err) != c.kind {
				t.Errorf("%v, want %q", err, c.kind)
			}
		})
	}
}

func TestAMachineThatAnswersOnceInAWhileIsNotOff(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	h := host(
		notes{},
		400*time.Millisecond,
		func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 5 { // it was restarting
				return answering(nil)(ctx, network, address)
			}
			return answering(syscall.ECONNREFUSED)(ctx, network, address)
		},
	)
	if err := h.Confirm(t.Context(), providers.SwitchedOff, box, "ada", at); err != nil {
		t.Fatal(err)
	}
	err := h.PowerOff(t.Context(), box)
	if migration.KindOf(err) != migration.Conflict ||
		!strings.Contains(err.Error(), "takes connections") ||
		!strings.Contains(err.Error(), "ada confirmed on 2026-12-01 09:30 UTC") {
		t.Errorf("%v", err)
	}
}

func TestTheEvidenceNamesWhoSaidItAndWhatWasSeen(t *testing.T) {
	t.Parallel()
	keeper := notes{}
	h := host(keeper, 0, answering(syscall.ECONNREFUSED))
	state, err := h.Describe(t.Context(), box)
	if err != nil || state.Status != providers.MachineSilent ||
		state.Basis.Proof != migration.Observed {
		t.Errorf("before anybody says anything: %+v, %v", state, err)
	}
	for _, c := range []struct {
		change providers.Change
		by     string
		status string
	}{
		{providers.SwitchedOff, "ada", providers.MachineOffline},
		{providers.Removed, "grace", providers.MachineDeleted},
		{providers.SwitchedOff, "ada", providers.MachineDeleted}, // says less: grace's word stays
	} {
		if err := h.Confirm(t.Context(), c.change, box, c.by, at); err != nil {
			t.Fatal(err)
		}
		h = host(keeper, 0, answering(syscall.ECONNREFUSED)) // a restart
		state, err := h.Describe(t.Context(), box)
		if err != nil || state.Status != c.status || state.Basis.Proof != migration.Attested ||
			!strings.Contains(state.Basis.Source, "2 attempts (2 refused, 0 unanswered)") {
			t.Errorf("%s by %s: %+v, %v", c.change, c.by, state, err)
		}
		if c.status == providers.MachineDeleted && !strings.HasPrefix(state.Basis.Source, "grace") {
			t.Errorf("the word of %s", state.Basis.Source)
		}
	}
	// Once it answers, nobody's word counts.
	h = host(keeper, 0, answering(nil))
	if state, err := h.Describe(t.Context(), box); err != nil ||
		state.Status != providers.MachineRunning ||
		state.Basis.Proof != migration.Observed {
		t.Errorf("it answers: %+v, %v", state, err)
	}
}

// Where this side's network may be down, an address that does not answer says nothing; one that
// refuses has answered.
func TestAMachineThatDoesNotAnswerIsOffOnlyWhileThisSidesNetworkWorks(t *testing.T) {
	t.Parallel()
	down := func(context.Context) error { return errors.New("the target does not answer either") }
	for rule, c := range map[string]struct {
		err   error
		alive func(context.Context) error
		off   bool
	}{
		"no answer, network down":    {os.ErrDeadlineExceeded, down, false},
		"no answer, nobody to ask":   {os.ErrDeadlineExceeded, nil, false},
		"no route, network down":     {syscall.EHOSTUNREACH, down, false},
		"refused, whoever else says": {syscall.ECONNREFUSED, down, true},
	} {
		h := NewHost(HostConfig{Machines: []Machine{{Label: "box"}}, Keeper: notes{},
			Dial: answering(c.err), Alive: c.alive})
		if err := h.Confirm(t.Context(), providers.SwitchedOff, box, "ada", at); err != nil {
			t.Fatal(err)
		}
		err := h.PowerOff(t.Context(), box)
		if c.off && err != nil || !c.off && migration.KindOf(err) != migration.Unavailable {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// A machine that answered was not off, or is not any more: that it falls silent later is nobody's
// word. One that was deleted does not come back; something else has its address.
func TestAnAnswerRefutesTheWordThatAMachineIsOff(t *testing.T) {
	t.Parallel()
	answer := error(nil)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return answering(answer)(ctx, network, address)
	}
	for change, after := range map[providers.Change]string{
		providers.SwitchedOff: providers.MachineSilent,
		providers.Removed:     providers.MachineDeleted,
	} {
		h := host(notes{}, 0, dial)
		answer = nil
		if err := h.Confirm(t.Context(), change, box, "ada", at); err != nil {
			t.Fatal(err)
		}
		if state, err := h.Describe(t.Context(), box); err != nil ||
			state.Status != providers.MachineRunning {
			t.Errorf("%s, and it answers: %+v, %v", change, state, err)
		}
		answer = syscall.ECONNREFUSED
		if state, err := h.Describe(t.Context(), box); err != nil || state.Status != after {
			t.Errorf("%s, and it answered once: %+v, %v", change, state, err)
		}
	}
}

// The word of somebody that a machine is off is about one time: after it ran again, that nothing
// answers is not that it was switched off.
func TestNobodysWordOutlivesTheNextStart(t *testing.T) {
	t.Parallel()
	answer := error(syscall.ECONNREFUSED)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return answering(answer)(ctx, network, address)
	}
	h := host(notes{}, 0, dial)
	if err := h.Confirm(t.Context(), providers.SwitchedOff, box, "ada", at); err != nil {
		t.Fatal(err)
	}
	if err := h.PowerOff(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	if err := h.PowerOn(t.Context(), box); !errors.Is(err, providers.ErrByHand) {
		t.Errorf("switched on, and nothing answers: %v", err)
	}
	answer = nil
	if err := h.PowerOn(t.Context(), box); err != nil {
		t.Error(err)
	}
	answer = syscall.ECONNREFUSED // it crashed
	if err := h.PowerOff(t.Context(), box); !errors.Is(err, providers.ErrByHand) {
		t.Errorf("off by a word of before it ran: %v", err)
	}
	if state, err := h.Describe(t.Context(), box); err != nil ||
		state.Status != providers.MachineSilent {
		t.Errorf("%+v, %v", state, err)
	}
}

func TestAWaitForSilenceCanBeCancelled(t *testing.T) {
	t.Parallel()
	h := host(notes{}, time.Hour, answering(syscall.ECONNREFUSED))
	if err := h.Confirm(t.Context(), providers.SwitchedOff, box, "ada", at); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("run cancelled")
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if err := h.PowerOff(ctx, box); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestARealPortThatIsClosedIsRefused(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := providers.Machine{ID: "box", Label: "box", Addrs: []string{l.Addr().String()}}
	h := host(notes{}, 0, nil)
	if state, err := h.Describe(t.Context(), m); err != nil ||
		state.Status != providers.MachineRunning {
		t.Errorf("%+v, %v", state, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if state, err := h.Describe(t.Context(), m); err != nil ||
		state.Status != providers.MachineSilent {
		t.Errorf("%+v, %v", state, err)
	}
}

func TestAVariableIsSetOnceEveryInstanceSaysSo(t *testing.T) {
	t.Parallel()
	want := providers.Var{
		Name:  "TARGET_REDIS_URL",
		Value: "rediss://CANARY",
		From:  "the URL of target.url",
	}
	for rule, c := range map[string]struct {
		using, without []string
		is             providers.VarIs
		says           string
	}{
		"nobody runs":    {nil, nil, providers.VarUnknown, "no instance runs"},
		"one is missing": {[]string{"web.1"}, []string{"web.2"}, providers.VarUnknown, "web.2 not"},
		"all":            {[]string{"web.1", "web.2"}, nil, providers.VarAsIs, "all of 2"},
	} {
		v := Vars{App: "shop", Attests: func(context.Context, string) ([]string, []string, error) {
			return c.using, c.without, nil
		}}
		state, err := v.Look(t.Context(), want)
		if err != nil || state.Is != c.is || !strings.Contains(state.Basis.Source, c.says) {
			t.Errorf("%s: %+v, %v", rule, state, err)
		}
		_, err = v.Set(t.Context(), want)
		if (err == nil) != (c.is == providers.VarAsIs) ||
			strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
