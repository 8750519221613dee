package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/switchyard-dev/switchyard/migration"
)

// asker asks somebody at a terminal.
type asker struct {
	out    io.Writer
	line   func() (string, error) // reads one
	hidden func() (string, error) // reads one that is not shown
	// restore has the terminal show again what is typed, where an answer never came.
	restore func()
}

// atTerminal gives who can be asked: nil unless both are terminals.
func atTerminal(in, out *os.File) *asker {
	fd := int(in.Fd())
	if !term.IsTerminal(fd) || !term.IsTerminal(int(out.Fd())) {
		return nil
	}
	was, err := term.GetState(fd)
	if err != nil {
		return nil
	}
	lines := bufio.NewReader(in)
	return &asker{
		out:  out,
		line: func() (string, error) { return lines.ReadString('\n') },
		hidden: func() (string, error) {
			text, err := term.ReadPassword(fd)
			_, _ = fmt.Fprintln(out) // the line break is not shown either
			return string(text), err
		},
		restore: func() { _ = term.Restore(fd, was) },
	}
}

// ask asks a question, with the answer that an empty line stands for, if any.
func (a *asker) ask(ctx context.Context, question, otherwise string) (string, error) {
	if otherwise != "" {
		question += " [" + otherwise + "]"
	}
	answer, err := a.answer(ctx, question, a.line)
	if answer == "" {
		answer = otherwise
	}
	return answer, err
}

// askSecret asks for what is not shown while it is typed.
func (a *asker) askSecret(ctx context.Context, question string) (migration.Secret, error) {
	answer, err := a.answer(ctx, question+" (not shown)", a.hidden)
	return migration.Secret(answer), err
}

// answer reads one. A read cannot be interrupted, so one that nobody waits for any more ends with
// the process.
func (a *asker) answer(
	ctx context.Context, question string, read func() (string, error),
) (string, error) {
	_, _ = fmt.Fprintf(a.out, "%s: ", question)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := read()
		got <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		a.restore()
		_, _ = fmt.Fprintln(a.out)
		return "", ctx.Err()
	case g := <-got:
		if errors.Is(g.err, io.EOF) && g.text == "" {
			return "", migration.Errorf(migration.Invalid,
				"there was no answer; nothing was written: give it by a flag, see switchyard init --help")
		}
		if g.err != nil && !errors.Is(g.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", g.err)
		}
		return strings.TrimSpace(g.text), nil
	}
}
