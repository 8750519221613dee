package flags

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"
)

// Provider answers OpenFeature evaluations in this process from a Holder, with the same values, reasons, variants and metadata
// that OFREP clients get. It is ready as soon as it is made; while no flags are known it answers PROVIDER_NOT_READY.
type Provider struct {
	holder *Holder
	set    string
}

var _ openfeature.FeatureProvider = (*Provider)(nil)

// NewProvider returns a provider over one set of h. An API of the SDK tells providers apart by pointer, so make one for each API.
func NewProvider(h *Holder, set string) *Provider { return &Provider{h, set} }

// Metadata implements openfeature.FeatureProvider.
func (*Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "switchyard"} }

// Hooks implements openfeature.FeatureProvider.
func (*Provider) Hooks() []openfeature.Hook { return nil }

// BooleanEvaluation implements openfeature.FeatureProvider.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, fallback bool, _ openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	v, detail := resolve(p, flag, fallback)
	return openfeature.BoolResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// StringEvaluation implements openfeature.FeatureProvider.
func (p *Provider) StringEvaluation(_ context.Context, flag, fallback string, _ openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	v, detail := resolve(p, flag, fallback)
	return openfeature.StringResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// IntEvaluation implements openfeature.FeatureProvider.
func (p *Provider) IntEvaluation(_ context.Context, flag string, fallback int64, _ openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	v, detail := resolve(p, flag, fallback)
	return openfeature.IntResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// FloatEvaluation implements openfeature.FeatureProvider. An integer flag is a type mismatch: conversions are the caller's.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, fallback float64, _ openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	v, detail := resolve(p, flag, fallback)
	return openfeature.FloatResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

// ObjectEvaluation implements openfeature.FeatureProvider. It gives the value of any flag, whatever its type; there are no
// object flags.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, fallback any, _ openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	v, detail := resolve(p, flag, fallback)
	return openfeature.InterfaceResolutionDetail{Value: v, ProviderResolutionDetail: detail}
}

func resolve[T any](p *Provider, key string, fallback T) (T, openfeature.ProviderResolutionDetail) {
	refuse := func(err openfeature.ResolutionError) (T, openfeature.ProviderResolutionDetail) {
		return fallback, openfeature.ProviderResolutionDetail{ResolutionError: err, Reason: openfeature.ErrorReason}
	}
	s := (*p.holder.sets.Load())[p.set]
	if s == nil {
		return refuse(openfeature.NewProviderNotReadyResolutionError("no flags are known yet"))
	}
	e := s.byKey[key]
	if e == nil {
		return refuse(openfeature.NewFlagNotFoundResolutionError(fmt.Sprintf("flag %q was not found", key)))
	}
	value, ok := e.value.(T)
	if !ok {
		return refuse(openfeature.NewTypeMismatchResolutionError(fmt.Sprintf("flag %s is a %T", key, e.value)))
	}
	return value, openfeature.ProviderResolutionDetail{Reason: openfeature.StaticReason, Variant: e.variant, FlagMetadata: e.meta}
}
