package config

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"github.com/switchyard-dev/switchyard/migration"
)

// mistake is one thing that is wrong with a configuration.
type mistake struct {
	key  string // such as providers[0].id
	want string // what is needed instead; never the value of a secret
}

// mistakes are all of them.
type mistakes []mistake

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, mistake{key, fmt.Sprintf(format, args...)})
}

// need adds a mistake unless something is ok.
func (m *mistakes) need(ok bool, key, format string, args ...any) {
	if !ok {
		m.add(key, format, args...)
	}
}

// cover reports whether a mistake is about the key, or about what it is in.
func (m mistakes) cover(key string) bool {
	return slices.ContainsFunc(m, func(x mistake) bool {
		rest, in := strings.CutPrefix(key, x.key)
		return in && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// in lists them in the order of the file of that name, if there is one; nil when there is none.
func (m mistakes) in(name string, places map[string]place) error {
	if len(m) == 0 {
		return nil
	}
	slices.SortStableFunc(m, func(a, b mistake) int {
		return near(places, a.key).compare(near(places, b.key))
	})
	text := "the configuration"
	if name != "" {
		text = "config file " + name
	}
	if len(m) == 1 {
		text += " has 1 mistake:"
	} else {
		text += fmt.Sprintf(" has %d mistakes:", len(m))
	}
	for _, x := range m {
		text += "\n- " + x.key + ": " + x.want
		if p, ok := places[x.key]; ok {
			text += fmt.Sprintf(" (line %d)", p.line)
		}
	}
	return migration.Errorf(migration.Invalid, "%s", text)
}

// place is where a key is in the file.
type place struct{ line, column int }

func placeOf(t *token.Token) place { return place{t.Position.Line, t.Position.Column} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// near is where a key is, or where the group begins that it is missing in. A key that is missing
// without its group comes last.
func near(places map[string]place, key string) place {
	for key != "" {
		if p, ok := places[key]; ok {
			return p
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return place{line: math.MaxInt}
}

func join(group, name string) string {
	if group == "" {
		return name
	}
	return group + "." + name
}

func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// wanted says what a field of that type takes.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 15s, 10m or 72h"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "a group of keys"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	}
	return "a number"
}

// resolve replaces every Secret "env:NAME" by the variable's value.
func (m *mistakes) resolve(v reflect.Value, key string, getenv func(string) string) {
	switch {
	case v.Type() == reflect.TypeFor[migration.Secret]():
		name, ok := strings.CutPrefix(v.String(), "env:")
		if !ok {
			return
		}
		value := getenv(name)
		m.need(value != "", key, "refers to the environment variable %s, which is not set", name)
		v.SetString(value)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			tag := v.Type().Field(i).Tag.Get("yaml")
			if tag == inline {
				m.resolve(v.Field(i), key, getenv)
				continue
			}
			m.resolve(v.Field(i), join(key, tag), getenv)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			m.resolve(v.Index(i), item(key, i), getenv)
		}
	}
}
