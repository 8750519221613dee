package config

import (
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/switchyard-dev/switchyard/migration"
)

// Load reads the file (empty: none), then the environment, then validates. Its error lists every
// mistake, in the order of the file. getenv is os.Getenv outside tests.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	f := file{places: map[string]place{}}
	if path != "" {
		if err := f.load(path, &c); err != nil {
			return c, err
		}
	}
	for _, v := range []struct {
		name  string
		field *string
	}{
		{"SWITCHYARD_ADDR", &c.Addr},
		{"SWITCHYARD_DATA_DIR", &c.DataDir},
		{"SWITCHYARD_SYNC_ADDR", &c.SyncAddr},
	} {
		if given := getenv(v.name); given != "" {
			*v.field = given
		}
	}
	const database = "SWITCHYARD_DATABASE_URL"
	if getenv(database) != "" {
		c.DatabaseURL = migration.Secret("env:" + database)
	}
	f.bad.resolve(&c, getenv)
	// What could not be read is not also judged.
	unread := f.bad
	for _, m := range c.mistakes() {
		if !unread.cover(m.key) {
			f.bad = append(f.bad, m)
		}
	}
	return c, f.bad.in(path, f.places)
}

// file is what is known of a configuration file.
type file struct {
	places  map[string]place
	anchors map[string]ast.Node
	bad     mistakes
	// fill: the values are read one by one, since they could not be read all at once.
	fill bool
	// mended: what the library cannot read was read here, see hostPort.
	mended bool
}

// load reads the file into c. An error of its own means that the file is no YAML.
func (f *file) load(path string, c *Config) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return migration.Errorf(migration.Invalid, "config file: %w", err)
	}
	err = yaml.UnmarshalWithOptions(text, c, yaml.DisallowUnknownField())
	parsed, broken := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if broken == nil && len(parsed.Docs) > 0 {
		if f.fill = err != nil; f.fill {
			*c = Default()
		}
		f.anchors = anchors(parsed)
		f.read(parsed.Docs[0].Body, reflect.ValueOf(c).Elem(), "")
	}
	if err != nil && len(f.bad) == 0 && !f.mended {
		return migration.Errorf(migration.Invalid, "config file %s: %s", path, explain(err))
	}
	return nil
}

// explain says where a file is wrong and why. The pretty form would quote the lines around the
// mistake, and those may hold a credential. So may the word that is quoted: an unquoted password
// that starts with * is an alias to YAML.
func explain(err error) string {
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), ` "`)
	return text
}

// anchors gives the nodes that aliases stand for.
func anchors(f *ast.File) map[string]ast.Node {
	v := anchorVisitor{}
	for _, d := range f.Docs {
		if d.Body != nil {
			ast.Walk(v, d.Body)
		}
	}
	return v
}

type anchorVisitor map[string]ast.Node

// Visit implements ast.Visitor.
func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}

// behind is the node itself, without anchors and aliases around it.
func (f *file) behind(n ast.Node) ast.Node {
	for range 8 { // aliases of aliases; a loop of them is an error of the library's
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			n = f.anchors[x.Value.GetToken().Value]
		default:
			return n
		}
	}
	return nil
}

// read notes where each key is, and where fill is set the values and whatever is wrong with them.
func (f *file) read(n ast.Node, v reflect.Value, key string) {
	n = f.behind(n)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		f.readGroup(n, v, key)
	case reflect.Map:
		f.readMap(n, v, key)
	case reflect.Slice:
		f.readList(n, v, key)
	case reflect.Pointer:
		if f.fill {
			v.Set(reflect.New(v.Type().Elem()))
			f.read(n, v.Elem(), key)
		}
	default:
		if !f.fill {
			return
		}
		if text, is := hostPort(n); is && v.Kind() == reflect.String {
			v.SetString(text)
			f.mended = true
			return
		}
		given := reflect.New(v.Type())
		if err := yaml.NodeToValue(n, given.Interface()); err != nil {
			f.bad.add(key, "%s is needed", wanted(v.Type()))
			return
		}
		v.Set(given.Elem())
	}
}

// hostPort gives the text of host:port in a list in braces, which the library takes for a group:
// YAML wants a space behind the colon of one.
func hostPort(n ast.Node) (string, bool) {
	if group, ok := n.(*ast.MappingNode); ok && len(group.Values) == 1 {
		n = group.Values[0]
	}
	pair, ok := n.(*ast.MappingValueNode)
	if !ok || pair.Value == nil {
		return "", false
	}
	key, value := pair.Key.GetToken(), pair.Value.GetToken()
	if value.Type != token.IntegerType || value.Position.Offset != key.Position.Offset+len(key.Value)+1 {
		return "", false
	}
	return key.Value + ":" + value.Value, true
}

func (f *file) readGroup(n ast.Node, v reflect.Value, key string) {
	group, ok := n.(ast.MapNode)
	if !ok {
		if key != "" { // else the file is no configuration at all
			f.bad.add(key, "%s is needed", wanted(v.Type()))
		}
		return
	}
	for entry := group.MapRange(); entry.Next(); {
		if entry.Key().IsMergeKey() {
			f.read(entry.Value(), v, key)
			continue
		}
		name := entry.Key().GetToken()
		field := fieldOf(v, name.Value)
		if !field.IsValid() {
			f.unknown(key, name)
			continue
		}
		at := join(key, name.Value)
		if _, twice := f.places[at]; twice {
			f.bad.add(at, "is there twice, again in line %d: remove either", placeOf(name).line)
			continue
		}
		f.places[at] = placeOf(name)
		f.read(entry.Value(), field, at)
	}
}

func (f *file) readMap(n ast.Node, v reflect.Value, key string) {
	group, ok := n.(ast.MapNode)
	if !ok {
		f.bad.add(key, "%s is needed", wanted(v.Type()))
		return
	}
	all := reflect.MakeMap(v.Type())
	for entry := group.MapRange(); entry.Next(); {
		name := entry.Key().GetToken()
		at := join(key, name.Value)
		if _, twice := f.places[at]; twice {
			f.bad.add(at, "is there twice, again in line %d: remove either", placeOf(name).line)
			continue
		}
		f.places[at] = placeOf(name)
		value := reflect.New(v.Type().Elem()).Elem()
		f.read(entry.Value(), value, at)
		all.SetMapIndex(reflect.ValueOf(name.Value), value)
	}
	if f.fill {
		v.Set(all)
	}
}

func (f *file) readList(n ast.Node, v reflect.Value, key string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.bad.add(key, "%s is needed", wanted(v.Type()))
		return
	}
	if f.fill {
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	}
	for i := range min(len(list.Values), v.Len()) {
		at := item(key, i)
		f.places[at] = placeOf(list.Values[i].GetToken())
		f.read(list.Values[i], v.Index(i), at)
	}
}

// unknown notes a key that does not exist. It is not quoted where a forgotten colon may have made
// it out of a credential.
func (f *file) unknown(group string, name *token.Token) {
	key := join(group, "?")
	if next := name.Next; next != nil && next.Type == token.MappingValueType {
		key = join(group, name.Value)
	}
	f.places[key] = placeOf(name)
	f.bad.add(key, "there is no such key")
}

// inline marks a struct whose keys are those of the struct around it.
const inline = ",inline"

// fieldOf finds the field of a key.
func fieldOf(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		switch v.Type().Field(i).Tag.Get("yaml") {
		case "": // no key
		case key:
			return v.Field(i)
		case inline:
			if f := fieldOf(v.Field(i), key); f.IsValid() {
				return f
			}
		}
	}
	return reflect.Value{}
}
