package scan

import (
	"cmp"
	"slices"

	"github.com/dop251/goja/ast"

	"github.com/switchyard-dev/switchyard/scan/js"
)

// Role is what a finding is about.
type Role string

// Roles.
const (
	RoleQueue     Role = "queue"
	RoleFlow      Role = "flow-producer"
	RoleSubclass  Role = "subclass"
	RoleNestQueue Role = "nest-queue"
	RoleNestFlow  Role = "nest-flow-producer"
	RoleProducer  Role = "producer" // of @switchyard/bullmq
	RolePipeline  Role = "pipeline" // of @switchyard/bullmq
	RoleWorker    Role = "worker"   // only reported if a producer's options break it
	RoleOld       Role = "bull"
	RoleClass     Role = "class"
	RoleFile      Role = "file"
)

const helper = "@switchyard/bullmq"

var bullmq = []string{"bullmq", "@taskforcesh/bullmq-pro"}

var nest = []string{"@nestjs/bullmq", "@taskforcesh/nestjs-bullmq-pro"}

// notQueues are packages whose Queue has nothing to do with Redis.
var notQueues = []string{"aws-cdk-lib", "@aws-cdk/", "@pulumi/", "@cdktf/", "p-queue", "queue",
	"yocto-queue", "typescript-collections", "@datastructures-js/", "async", "better-queue",
	"sst", "denque", "tinyqueue", "fastq", "@aws-sdk/", "@google-cloud/", "@azure/",
	"faktory-worker", "js-sdsl", "buckets-js", "@cloudflare/", "cloudflare:workers"}

func roleOf(pkg, name string) Role {
	switch {
	case slices.Contains(bullmq, pkg):
		switch name {
		case "Queue", "QueuePro", "QueueBase", "QueueGetters":
			return RoleQueue
		case "FlowProducer", "FlowProducerPro":
			return RoleFlow
		case "Worker", "WorkerPro":
			return RoleWorker
		}
	case pkg == "bull" && (name == "" || name == "default" || name == "Queue"):
		return RoleOld
	case pkg == helper && name == "Producer":
		return RoleProducer
	case pkg == helper && name == "Pipeline":
		return RolePipeline
	}
	return ""
}

var queueNames = []string{"Queue", "FlowProducer", "QueuePro", "FlowProducerPro", "Bull",
	"BullQueue"}

// roleOfClass returns the role of a value that can be constructed.
func (sc *scanner) roleOfClass(v *js.Value) Role {
	if v.Kind == js.ClassValue {
		v = sc.Base(v.Class)
	}
	if v.Kind == js.Import {
		return roleOf(v.Pkg, v.Name)
	}
	return ""
}

// builtin returns what some functions of packages return.
func builtin(f *js.Value, args []*js.Value) *js.Value {
	switch f.Pkg {
	case helper:
		switch f.Name {
		case "producerOptions":
			return js.Record(map[string]*js.Value{
				"enableOfflineQueue": js.Truth(false), "maxRetriesPerRequest": js.Num(1),
				"commandTimeout": js.Num(2000), "connectTimeout": js.Num(2000),
				"retryStrategy": safeRetry(),
			})
		case "fromEnvironment": // the part of a Pipeline's options that differs by deployment
			return js.Record(map[string]*js.Value{})
		case "unsafeProducerOptions":
			return js.Record(map[string]*js.Value{})
		case "workerOptions":
			return js.Record(map[string]*js.Value{
				"enableOfflineQueue":   js.Truth(true),
				"maxRetriesPerRequest": js.Nulled,
				"connectTimeout":       js.Num(5000),
				"retryStrategy":        safeRetry(),
			})
		}
	case "redis", "@redis/client":
		if f.Name == "createClient" {
			return &js.Value{Kind: js.Instance, Of: f, Args: args}
		}
	}
	return js.NotKnown("what " + cmp.Or(f.Name,
		"a function") + " of " + f.Pkg + " gives is not known")
}

// safeRetry stands for the retry strategy of clients/node.
func safeRetry() *js.Value {
	return &js.Value{
		Kind: js.Function,
		Node: &ast.ArrowFunctionLiteral{Body: &ast.ExpressionBody{Expression: &ast.NumberLiteral{Value: int64(1000)}}},
	}
}
