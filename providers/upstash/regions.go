package upstash

import "slices"

// regions are those of the API's document (CreateDatabaseRequest.primary_region, August
// 2026). The document has one list for both platforms; which is whose is told by the names
// that the platforms give their regions.
var regions = map[string][]string{
	"aws": {
		"us-east-1",
		"us-east-2",
		"us-west-1",
		"us-west-2",
		"ca-central-1",
		"eu-central-1",
		"eu-west-1",
		"eu-west-2",
		"sa-east-1",
		"ap-south-1",
		"ap-northeast-1",
		"ap-southeast-1",
		"ap-southeast-2",
		"af-south-1",
	},
	"gcp": {"us-central1", "us-east4", "europe-west1", "asia-northeast1"},
}

// Regions lists the documented regions of a platform, aws or gcp; nil for another one.
func Regions(platform string) []string { return slices.Clone(regions[platform]) }
