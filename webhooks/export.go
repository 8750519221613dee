package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
)

// exportMistakes is how many bad places of a file are told.
const exportMistakes = 5

// ReadEvents reads a file of the provider's events, each the body of one webhook: JSON
// objects one after another, such as one a line, or one array of them. Either all of
// them name an order, or the error (Invalid) tells the lines where those begin that do
// not.
func (p Sender) ReadEvents(file []byte) ([]json.RawMessage, error) {
	file = bytes.TrimPrefix(file, []byte("\ufeff")) // as some programs write it
	var out []json.RawMessage
	var mistakes []string
	mistake := func(at int64, why string) {
		if line := 1 + bytes.Count(file[:at], []byte("\n")); len(mistakes) < exportMistakes {
			mistakes = append(mistakes, fmt.Sprintf("line %d %s", line, why))
		}
	}
	d := json.NewDecoder(bytes.NewReader(file))
	list := bytes.HasPrefix(bytes.TrimLeft(file, space), []byte("["))
	if list {
		_, _ = d.Token() // the bracket that was seen
	}
	for {
		at := d.InputOffset()
		if list && !d.More() {
			if _, err := d.Token(); err != nil {
				mistake(int64(len(file)),
					"is the end, and the list is not: the file is cut off")
			} else if rest := bytes.TrimLeft(file[d.InputOffset():], space); len(rest) > 0 {
				mistake(int64(len(file)-len(rest)), "goes on after the list")
			}
			break
		}
		rest := bytes.TrimLeft(file[at:], space)
		if list {
			rest = bytes.TrimLeft(rest, ","+space)
		}
		if len(rest) == 0 {
			break
		}
		at = int64(len(file) - len(rest))
		var body json.RawMessage
		if err := d.Decode(&body); err != nil {
			// not the error: it quotes the file, and does not know the line
			mistake(at, "is no JSON object, or a cut-off one")
			break
		}
		if _, err := p.Identify(nil, body); err != nil {
			mistake(at, err.Error())
		}
		out = append(out, body)
	}
	switch {
	case len(mistakes) > 0:
		return nil, migration.Errorf(migration.Invalid, "nothing was handed over: %s",
			strings.Join(mistakes, "; "))
	case len(out) == 0:
		return nil, migration.Errorf(migration.Invalid, "the file holds no event")
	}
	return out, nil
}

// space is what JSON allows between values.
const space = " \t\r\n"
