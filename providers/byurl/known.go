package byurl

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
)

// service is a managed service whose limits are documented.
type service struct {
	Name   string `yaml:"name"`
	Title  string `yaml:"title"`  // for people
	Source string `yaml:"source"` // URL of the page
	Date   string `yaml:"date"`   // of the page, or when it was read
	// Undocumented are the keys of a plan that the page says nothing of.
	Undocumented []string    `yaml:"undocumented"`
	Plans        []knownPlan `yaml:"plans"`
}

type knownPlan struct {
	Name string `yaml:"name"`
	Plan `yaml:",inline"`
}

// basis is what the service's page proves: what its vendor says, and no more.
func (s service) basis() providers.Basis {
	return providers.Basis{Proof: migration.Documented,
		Source: fmt.Sprintf("%s's documentation of %s (%s)", s.Title, s.Date, s.Source)}
}

//go:embed known.yaml
var knownText []byte

// services are those of the file. It is a part of the program, and a test reads it.
var services = sync.OnceValue(func() []service {
	var all []service
	err := yaml.UnmarshalWithOptions(knownText, &all, yaml.DisallowUnknownField())
	if err != nil {
		panic(fmt.Sprintf("known.yaml: %v", err))
	}
	return all
})

// find gives the plan of a name such as upstash/fixed-1gb, and its service.
func find(name string) (plan Plan, of service, is bool) {
	for _, s := range services() {
		for _, p := range s.Plans {
			if s.Name+"/"+p.Name == name {
				p.Service = s.Title
				return p.Plan, s, true
			}
		}
	}
	return Plan{}, service{}, false
}

// names lists the known plans; of one service alone, where the name is of a plan of it.
func names(like string) []string {
	var out []string
	at, _, _ := strings.Cut(like, "/")
	one := slices.ContainsFunc(services(), func(s service) bool { return s.Name == at })
	for _, s := range services() {
		for _, p := range s.Plans {
			if !one || s.Name == at {
				out = append(out, s.Name+"/"+p.Name)
			}
		}
	}
	return out
}

// said is what the parts of a plan rest on.
type said struct{ plan, limits, connections, price, eviction providers.Basis }

// whole is the plan with what is known of it wherever its owner says nothing. Which plan a
// database is on is its owner's word even then, so what is known rests on both.
func (p Plan) whole() (Plan, said) {
	by := said{byOwner, byOwner, byOwner, byOwner, byOwner}
	known, of, is := find(p.Known)
	if !is {
		return p, by
	}
	both := providers.Weakest(byOwner, of.basis())
	if p.Service == "" {
		p.Service = known.Service
	}
	if p.Title == "" {
		p.Title, by.plan = known.Title, both
	}
	fill(&p.Metered, known.Metered, both, &by.plan)
	fill(&p.MonthlyUSD, known.MonthlyUSD, both, &by.price)
	fill(&p.Eviction, known.Eviction, both, &by.eviction)
	fill(&p.MaxConnections, known.MaxConnections, both, &by.connections, &by.limits)
	ours, theirs := p.limits(), known.limits()
	for i := range ours {
		fill(ours[i].value, *theirs[i].value, both, &by.limits)
	}
	return p, by
}

// fill sets what is not given to what is known, and notes what it rests on then.
func fill[T any](given **T, known *T, basis providers.Basis, by ...*providers.Basis) {
	if *given != nil || known == nil {
		return
	}
	*given = known
	for _, b := range by {
		*b = basis
	}
}

// limit is a limit of a plan by its key.
type limit struct {
	key   string
	value **int64
}

func (p *Plan) limits() []limit {
	return []limit{
		{"max_bytes", &p.MaxBytes}, {"max_connections", &p.MaxConnections},
		{"max_commands_per_second", &p.MaxCommandsPerSecond},
		{"max_request_bytes", &p.MaxRequestBytes}, {"max_record_bytes", &p.MaxRecordBytes},
		{"bandwidth_bytes", &p.BandwidthBytes},
	}
}
