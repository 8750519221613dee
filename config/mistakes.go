package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
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

// eachSecret calls f with every secret and its key.
func eachSecret(v reflect.Value, key string, f func(key string, v reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[migration.Secret]():
		f(key, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			at := key
			if tag := v.Type().Field(i).Tag.Get("yaml"); tag != inline {
				at = join(key, tag)
			}
			eachSecret(v.Field(i), at, f)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			eachSecret(v.Index(i), item(key, i), f)
		}
	}
}

// resolve replaces every Secret "env:NAME" by the variable's value, and every "file:PATH" by what
// the file holds, without the line break at its end. It notes what stood there.
func (m *mistakes) resolve(c *Config, getenv func(string) string) {
	c.from = map[string]string{}
	eachSecret(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		given := v.String()
		if name, is := strings.CutPrefix(given, "env:"); is {
			value := getenv(name)
			m.need(value != "", key, "refers to the environment variable %s, which is not set",
				name)
			v.SetString(value)
			c.from[key] = given
		}
		if path, is := strings.CutPrefix(v.String(), "file:"); is && !isDatabaseFile(key) {
			v.SetString(m.content(key, path))
			c.from[key] = cmp.Or(c.from[key], given)
		}
	})
}

// isDatabaseFile tells the one secret that "file:" may begin because it is a URL: SQLite's.
func isDatabaseFile(key string) bool { return key == "database_url" }

// maxSecret is more than any secret is long, in bytes; a longer file is not one.
const maxSecret = 64 << 10

// content reads a secret's file.
func (m *mistakes) content(key, path string) string {
	f, err := os.Open(path)
	if err != nil {
		m.add(key, "the file %s cannot be read: %s", path, errors.Unwrap(err))
		return ""
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		m.add(key, "the file %s cannot be read: %s", path, errors.Unwrap(err))
		return ""
	}
	secret := strings.TrimRight(string(text), "\r\n")
	m.need(secret != "", key, "the file %s is empty", path)
	m.need(len(text) <= maxSecret, key, "the file %s is too long for a secret: %d KiB at most",
		path, maxSecret>>10)
	return secret
}
