package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// handHelp says what a person can do in a twin where nothing has an API.
const handHelp = "Nothing here has an API, so you are the person who does it. Type\n" +
	"  set | unset        give the managed Redis' URL to the app, or take it away\n" +
	"  off | on NAME      switch a machine off, or on\n" +
	"  delete NAME        delete one\n" +
	"NAME is a machine, or all. Then confirm it on the page of the run."

// handyman is a twin whose machines and variables a person looks after.
type handyman interface {
	Machines() []string
	SwitchOff(ctx context.Context, machine string) error
	SwitchOn(ctx context.Context, machine string) error
	Discard(ctx context.Context, machine string) error
	SetTarget(ctx context.Context) error
	UnsetTarget(ctx context.Context) error
}

// hands does what is typed, line by line, until the input or the context ends.
func hands(ctx context.Context, t handyman, in io.Reader, out func(format string, args ...any)) {
	for lines := bufio.NewScanner(in); lines.Scan() && ctx.Err() == nil; {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if err := hand(ctx, t, words); err != nil {
			out("%v", err)
			continue
		}
		out("done: %s", strings.Join(words, " "))
	}
}

func hand(ctx context.Context, t handyman, words []string) error {
	switch {
	case len(words) == 1 && words[0] == "set":
		return t.SetTarget(ctx)
	case len(words) == 1 && words[0] == "unset":
		return t.UnsetTarget(ctx)
	}
	do := map[string]func(context.Context, string) error{
		"off": t.SwitchOff, "on": t.SwitchOn, "delete": t.Discard,
	}[words[0]]
	if do == nil || len(words) != 2 {
		return fmt.Errorf("%q is not understood\n%s", strings.Join(words, " "), handHelp)
	}
	machines := []string{words[1]}
	if words[1] == "all" {
		machines = t.Machines()
	}
	for _, m := range machines {
		if err := do(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
