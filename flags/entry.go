package flags

import (
	"encoding/json"
	"maps"
	"time"
)

// newEntry encodes a flag's answers. defaults are the set's metadata; the flag's own
// override them.
func newEntry(
	key string, f Flag, evaluators map[string]json.RawMessage, defaults map[string]any,
) (*entry, error) {
	e := &entry{key: key}
	meta := map[string]any{}
	maps.Copy(meta, defaults)
	maps.Copy(meta, f.Metadata)
	give := func(reason string, variant *string) (*answer, error) {
		a := &answer{Evaluation: Evaluation{Key: key, Reason: reason, Metadata: meta},
			status: 200}
		var raw json.RawMessage
		if variant != nil {
			a.Variant, raw = *variant, f.Variants[*variant]
			if err := json.Unmarshal(raw, &a.Value); err != nil {
				return nil, err
			}
		}
		var err error
		a.body, err = json.Marshal(struct {
			Key      string          `json:"key"`
			Value    json.RawMessage `json:"value,omitempty"`
			Reason   string          `json:"reason"`
			Variant  string          `json:"variant,omitempty"`
			Metadata map[string]any  `json:"metadata"`
		}{key, raw, reason, a.Variant, meta})
		return a, err
	}
	var err error
	switch {
	case f.State == disabled:
		e.static, err = give(reasonDisabled, nil)
		return e, err
	case !targeted(f.Targeting) && f.DefaultVariant == nil:
		e.static, err = give(reasonDefault, nil)
		return e, err
	case !targeted(f.Targeting):
		e.static, err = give(reasonStatic, f.DefaultVariant)
		return e, err
	}
	if e.rule, err = newRule(f.Targeting, evaluators); err != nil {
		return nil, err
	}
	if e.deflt, err = give(reasonDefault, f.DefaultVariant); err != nil {
		return nil, err
	}
	e.matches = map[string]*answer{}
	for name := range f.Variants {
		if e.matches[name], err = give(reasonMatch, &name); err != nil {
			return nil, err
		}
	}
	e.errors = map[string]*answer{
		codeParseError: failed(key, codeParseError,
			"The targeting rule of the flag failed for this context", meta),
		codeGeneral: failed(key, codeGeneral,
			"The targeting rule of the flag gave something that is not one of its variants",
			meta),
	}
	return e, nil
}

func failed(key, code, details string, meta map[string]any) *answer {
	return &answer{Evaluation: Evaluation{Key: key, Reason: reasonError, ErrorCode: code,
		ErrorDetails: details, Metadata: meta},
		status: 400, body: failure(400, key, code, details).Body}
}

// evaluate gives the answer for a context, which must be the caller's own; it may be
// nil for a static flag only.
func (e *entry) evaluate(context map[string]any, now time.Time) *answer {
	if e.static != nil {
		return e.static
	}
	v := e.rule.run(e.key, context, now)
	switch {
	case v.code != "":
		return e.errors[v.code]
	case v.null:
		return e.deflt
	}
	if a := e.matches[v.variant]; a != nil {
		return a
	}
	return e.errors[codeGeneral]
}
