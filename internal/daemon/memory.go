package daemon

import (
	"log/slog"
	"os"
	"runtime/debug"

	"milterd/internal/cgroup"
)

const (
	// gcPercent is how much garbage there may be for what lives, as GOGC counts it. With
	// some 15 MiB alive that is 60 MiB of heap. docs/performance.md has the figures.
	gcPercent = 300
	// besides is the memory for all that is no message: lists, rules, caches, garbage.
	besides = 256 << 20
	// bufferSize is how long a body may be that needs no file, and buffersMost what the
	// buffers for all of them may take.
	bufferSize, buffersMost = 2 << 20, 8 << 20
)

// memoryPlan divides the memory of the process.
type memoryPlan struct {
	// percent and soft go to the runtime; 0 leaves what it has.
	percent int
	soft    int64
	// inflight is for messages that wait for nothing, long is for what checks make of
	// long bodies, in turn. Both are bytes.
	inflight, long int64
	// buffers is what bodies may take that are long and go to no file, in bytes: it is a
	// part of besides.
	buffers int64
}

// planMemory plans for messages of at most inflight bytes together (limits.memory_inflight). group is what
// the control group allows, 0 where it allows everything; getenv tells what the administrator told
// the runtime by GOGC and GOMEMLIMIT, which wins, and runtime is its limit as it is.
func planMemory(inflight, group, runtime int64, getenv func(string) string) memoryPlan {
	var p memoryPlan
	if getenv("GOGC") == "" {
		p.percent = gcPercent
	}
	soft := inflight + besides
	if getenv("GOMEMLIMIT") != "" {
		soft = runtime
	} else {
		if group > 0 {
			// The kernel counts what the runtime does not: stacks of the kernel, sockets, pages of files.
			soft = min(soft, group/10*9)
		}
		p.soft = soft
	}
	// Where memory is short, messages have the half of it and wait rather than all be killed.
	inflight = min(inflight, max(soft-besides, soft/2))
	p.long = inflight / 4
	p.inflight = inflight - p.long
	p.buffers = min(buffersMost, inflight/16)
	return p
}

// limitMemory tells the runtime how to deal with memory, and returns how messages may.
func limitMemory(inflight int64, log *slog.Logger) memoryPlan {
	group, _ := cgroup.MemoryLimit(os.DirFS("/"))
	p := planMemory(inflight, group, debug.SetMemoryLimit(-1), os.Getenv)
	if p.percent > 0 {
		debug.SetGCPercent(p.percent)
	}
	if p.soft > 0 {
		debug.SetMemoryLimit(p.soft)
	}
	if given := p.inflight + p.long; given < inflight {
		log.Warn("messages in flight get less than limits.memory_inflight: there is no more memory", "bytes", given, "cgroup", group)
	}
	return p
}
