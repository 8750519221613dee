package js

import (
	"reflect"
	"sync"

	"github.com/dop251/goja/ast"
)

// children walks over everything a node consists of.
func (u *Unit) children(n ast.Node, at place) {
	v := reflect.ValueOf(n)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	u.fields(v.Elem(), at)
}

var nodeType = reflect.TypeFor[ast.Node]()

// fieldsOf caches which fields of a type can hold nodes.
var fieldsOf sync.Map

func (u *Unit) fields(v reflect.Value, at place) {
	t := v.Type()
	list, ok := fieldsOf.Load(t)
	if !ok {
		var found []int
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() || f.Name == "DeclarationList" || f.Name == "File" {
				continue
			}
			switch f.Type.Kind() {
			case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Struct:
				found = append(found, i)
			}
		}
		list, _ = fieldsOf.LoadOrStore(t, found)
	}
	for _, i := range list.([]int) {
		u.part(v.Field(i), at)
	}
}

func (u *Unit) part(f reflect.Value, at place) {
	switch f.Kind() {
	case reflect.Interface, reflect.Pointer:
		if f.IsNil() {
			return
		}
		if n, ok := f.Interface().(ast.Node); ok {
			u.walk(n, at)
		}
	case reflect.Slice:
		for i := range f.Len() {
			u.part(f.Index(i), at)
		}
	case reflect.Struct:
		if f.CanAddr() && f.Addr().Type().Implements(nodeType) {
			u.walk(f.Addr().Interface().(ast.Node), at)
		}
	}
}
