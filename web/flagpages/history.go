package flagpages

import (
	"encoding/json"
	"reflect"

	"github.com/switchyard-dev/switchyard/migration"
)

// restorable reports whether going back to a revision would change anything: the cutover's own
// flags stay as they are, so a revision that differs in those alone changes nothing. What cannot
// be read may.
func restorable(v migration.FlagSetView, r migration.FlagSetRevision) bool {
	managed := map[string]bool{}
	for _, f := range v.Flags {
		managed[f.Key] = f.ManagedBy != ""
	}
	now, before := own(v.Definition, managed), own(r.Definition, managed)
	return now == nil || before == nil || !reflect.DeepEqual(now, before)
}

// own is a document without the flags that the cutover manages; nil: it cannot be read.
func own(definition json.RawMessage, managed map[string]bool) map[string]any {
	var doc map[string]any
	if json.Unmarshal(definition, &doc) != nil {
		return nil
	}
	flags, _ := doc["flags"].(map[string]any)
	for key, f := range flags {
		meta, _ := f.(map[string]any)
		about, _ := meta["metadata"].(map[string]any)
		if by, _ := about["managedBy"].(string); by != "" || managed[key] {
			delete(flags, key)
		}
	}
	return doc
}
