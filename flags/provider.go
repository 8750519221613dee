package flags

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"

	"github.com/open-feature/go-sdk/openfeature"
)

// Provider answers OpenFeature evaluations in this process from a Holder, with the same
// values, reasons, variants and metadata that OFREP clients get. It is ready as soon as
// it is made; while no flags are known it answers PROVIDER_NOT_READY.
type Provider struct {
	holder *Holder
	set    string
}

var _ openfeature.FeatureProvider = (*Provider)(nil)

// NewProvider returns a provider over one set of h. An API of the SDK tells providers
// apart by pointer, so make one for each API.
func NewProvider(h *Holder, set string) *Provider { return &Provider{h, set} }

// Metadata implements openfeature.FeatureProvider.
func (*Provider) Metadata() openfeature.Metadata {
	return openfeature.Metadata{Name: "switchyard"}
}

// Hooks implements openfeature.FeatureProvider.
func (*Provider) Hooks() []openfeature.Hook { return nil }

// BooleanEvaluation implements openfeature.FeatureProvider.
func (p *Provider) BooleanEvaluation(
	_ context.Context, flag string, fallback bool, who openfeature.FlattenedContext,
) openfeature.BoolResolutionDetail {
	v, detail := resolve(p, flag, fallback, who, as[bool])
	return openfeature.BoolResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// StringEvaluation implements openfeature.FeatureProvider.
func (p *Provider) StringEvaluation(
	_ context.Context, flag, fallback string, who openfeature.FlattenedContext,
) openfeature.StringResolutionDetail {
	v, detail := resolve(p, flag, fallback, who, as[string])
	return openfeature.StringResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// IntEvaluation implements openfeature.FeatureProvider. A number with a fraction is a
// type mismatch.
func (p *Provider) IntEvaluation(
	_ context.Context, flag string, fallback int64, who openfeature.FlattenedContext,
) openfeature.IntResolutionDetail {
	v, detail := resolve(p, flag, fallback, who, func(v any) (int64, bool) {
		f, ok := v.(float64)
		return int64(f), ok && f == math.Trunc(f) && math.Abs(f) <= maxInteger
	})
	return openfeature.IntResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// FloatEvaluation implements openfeature.FeatureProvider.
func (p *Provider) FloatEvaluation(
	_ context.Context, flag string, fallback float64, who openfeature.FlattenedContext,
) openfeature.FloatResolutionDetail {
	v, detail := resolve(p, flag, fallback, who, as[float64])
	return openfeature.FloatResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// ObjectEvaluation implements openfeature.FeatureProvider. It gives the value of any
// flag, whatever its type.
func (p *Provider) ObjectEvaluation(
	_ context.Context, flag string, fallback any, who openfeature.FlattenedContext,
) openfeature.InterfaceResolutionDetail {
	v, detail := resolve(p, flag, fallback, who, as[any])
	return openfeature.InterfaceResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

func as[T any](v any) (T, bool) {
	t, ok := v.(T)
	return t, ok
}

func resolve[T any](
	p *Provider, key string, fallback T, who openfeature.FlattenedContext,
	convert func(any) (T, bool),
) (T, openfeature.ProviderResolutionDetail) {
	refuse := func(err openfeature.ResolutionError) (T, openfeature.ProviderResolutionDetail) {
		return fallback, openfeature.ProviderResolutionDetail{ResolutionError: err,
			Reason: openfeature.ErrorReason}
	}
	s := (*p.holder.sets.Load())[p.set]
	if s == nil {
		return refuse(openfeature.NewProviderNotReadyResolutionError("no flags are known yet"))
	}
	e := s.byKey[key]
	if e == nil {
		return refuse(openfeature.NewFlagNotFoundResolutionError(
			fmt.Sprintf("flag %q was not found", key)))
	}
	a := e.static
	if a == nil {
		plain, err := plainContext(who)
		if err != nil {
			return refuse(openfeature.NewInvalidContextResolutionError(err.Error()))
		}
		a = e.evaluate(plain, p.holder.opt.Now())
	}
	detail := openfeature.ProviderResolutionDetail{
		Reason:       openfeature.Reason(a.Reason),
		Variant:      a.Variant,
		FlagMetadata: maps.Clone(a.Metadata),
	}
	switch {
	case a.ErrorCode == codeParseError:
		return refuse(openfeature.NewParseErrorResolutionError(a.ErrorDetails))
	case a.ErrorCode != "":
		return refuse(openfeature.NewGeneralResolutionError(a.ErrorDetails))
	case a.Value == nil: // the code's default, which is not an error
		return fallback, detail
	}
	given := a.Value
	if typeOf(given) == "object" { // the caller may change it
		given = nil
		_ = json.Unmarshal(a.raw, &given) // it was decoded before
	}
	value, ok := convert(given)
	if !ok {
		return refuse(openfeature.NewTypeMismatchResolutionError(fmt.Sprintf("flag %s is a %s",
			key, typeOf(a.Value))))
	}
	return value, detail
}
