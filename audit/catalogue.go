package audit

import "slices"

// catalogue lists every check, by priority. Limits without a named source come from
// Redis' own documentation of redis.conf or BullMQ's guide "Going to production";
// measured figures were measured on real servers with BullMQ 3 to 6.
var catalogue = []Check{
	// Jobs are lost or run wrongly.
	checkEvictionPolicy,
	checkEvictedKeys,
	checkEmptyJobs,
	checkQueueTTL,
	checkMemoryHeadroom,
	checkPersistence,
	checkPersistenceStatus,
	checkRole,
	checkMinReplicas,
	checkCluster,

	// Anybody can cause that.
	checkDefaultUser,
	checkUsers,
	checkExposure,
	checkEncryption,
	checkCertificate,
	checkVersion,

	// The next fault loses jobs or stops the queue.
	checkMaxMemory,
	checkReplication,
	checkOrphans,
	checkStuck,
	checkIdleTimeout,
	checkRejectedConnections,
	checkClientLimit,
	checkErrorReplies,
	checkDangerousCommands,
	checkLargeJobs,

	// A fault lasts longer or becomes more likely.
	checkSlowScripts,
	checkGrowth,
	checkBigKeys,
	checkForeignKeys,
	checkOutputBuffers,
	checkLatency,
	checkFork,
	checkSwap,
	checkOvercommit,
	checkHugePages,

	// Good practice.
	checkKeepalive,
	checkReplicationBacklog,
	checkOtherDatabases,
	checkSlowLog,
	checkLatencyMonitor,
}

// Check is one entry of the catalogue.
type Check struct {
	ID       string
	Title    string
	Severity Severity // the worst that it finds
	Limit    string
	Why      string
	Remedy   string
	Commands []string
	Denied   string // how it is read where CONFIG is denied
	Risk     string // of the fix; "" when Switchyard has none
	Scan     bool   // needs to look at keys

	judge func(*facts) outcome
}

// Catalogue returns every check, by priority.
func Catalogue() []Check { return slices.Clone(catalogue) }
