package conform

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/switchyard-dev/switchyard/docs/contract"
)

// form holds answers against the contract's OpenAPI document.
type form struct {
	document any
	compiler *jsonschema.Compiler
}

const documentName = "contract.json"

func readForm() (form, error) {
	text, err := yaml.YAMLToJSON(contract.Document)
	if err != nil {
		return form{}, fmt.Errorf("the contract's document: %w", err)
	}
	f := form{compiler: jsonschema.NewCompiler()}
	if f.document, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err == nil {
		err = f.compiler.AddResource(documentName, f.document)
	}
	if err != nil {
		return form{}, fmt.Errorf("the contract's document: %w", err)
	}
	return f, nil
}

// at finds a part of the document, through references, and its JSON pointer.
func (f form) at(keys ...string) (pointer string, part any) {
	part = f.document
	for _, key := range keys {
		m, _ := part.(map[string]any)
		if ref, is := m["$ref"].(string); is {
			pointer = strings.TrimPrefix(ref, "#")
			_, part = f.at(strings.Split(strings.TrimPrefix(pointer, "/"), "/")...)
			m, _ = part.(map[string]any)
		}
		if part = m[key]; part == nil {
			return "", nil
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	}
	return pointer, part
}

// judge says what is wrong with an answer's status or body; nil: nothing.
func (f form) judge(method, path string, status int, body []byte) error {
	path, _, _ = strings.Cut(path, "?")
	operation := []string{"paths", path, strings.ToLower(method), "responses"}
	if _, known := f.at(operation...); known == nil {
		return fmt.Errorf("%s %s is not in the contract", method, path)
	}
	response := append(operation, strconv.Itoa(status))
	if _, known := f.at(response...); known == nil {
		return fmt.Errorf("%s %s answers %d, which is not in the contract", method, path, status)
	}
	pointer, schema := f.at(append(response, "content", "application/json", "schema")...)
	if schema == nil {
		return nil
	}
	compiled, err := f.compiler.Compile(documentName + "#" + pointer)
	if err != nil {
		return fmt.Errorf("the contract's document: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s answers %d without JSON: %.200s", method, path, status, body)
	}
	if err := compiled.Validate(value); err != nil {
		return fmt.Errorf("%s %s answers %d: %s", method, path, status, leaf(err))
	}
	return nil
}

// leaf is what an error of a schema comes down to: where, and what.
func leaf(err error) string {
	v := (*jsonschema.ValidationError)(nil)
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = v.Causes[slices.IndexFunc(v.Causes, func(c *jsonschema.ValidationError) bool {
			return !otherType(c) || c == v.Causes[len(v.Causes)-1]
		})]
	}
	return "/" + strings.Join(v.InstanceLocation, "/") + ": " +
		v.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}

// otherType reports whether an alternative of oneOf is for events of another type.
func otherType(v *jsonschema.ValidationError) bool {
	at := v.InstanceLocation
	if len(v.Causes) == 0 && len(at) > 0 && at[len(at)-1] == "type" {
		return true
	}
	return slices.ContainsFunc(v.Causes, otherType)
}
