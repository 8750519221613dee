package server

import (
	"github.com/switchyard-dev/switchyard/server/flagadmin"
	"github.com/switchyard-dev/switchyard/server/site"
)

// Paths below which the API has what belongs to a migration, and what belongs to a run.
const (
	apiMigration = "/api/v1/migrations/:mid"
	apiRun       = "/api/v1/runs/:run"
)

// routes is every route there is; anything else is 404. A new resource is one line here.
func (s *Server) routes() []site.Route {
	var all []site.Route
	for _, resource := range [][]site.Route{
		s.opsRoutes(),
		s.sessionRoutes(),
		s.overviewRoutes(),
		s.evidenceRoutes(),
		s.stepRoutes(),
		s.runRoutes(),
		s.queueRoutes(),
		s.seriesRoutes(),
		s.jobRoutes(),
		s.redisAuditRoutes(),
		s.capacityRoutes(),
		s.breakerRoutes(),
		s.outageRoutes(),
		s.ledgerRoutes(),
		s.waiverRoutes(),
		s.reportRoutes(),
		s.notificationRoutes(),
		s.debtRoutes(),
		s.setupRoutes(),
		s.runbookRoutes(),
		s.auditLogRoutes(),
		s.searchRoutes(),
		s.peopleRoutes(),
		s.settingsRoutes(),
		flagadmin.Routes(s.Site),
		s.flags.Routes(),
	} {
		all = append(all, resource...)
	}
	return all
}
