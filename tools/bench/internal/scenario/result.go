package scenario

import (
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what one run of one scenario with one client measured.
type Result struct {
	Client   string `json:"client"`
	Scenario string `json:"scenario"`
	Round    int    `json:"round"`
	Msgs     int    `json:"msgs"`
	Bytes    int    `json:"bytes"` // of payload
	WallNS   int64  `json:"wall_ns"`
	UserNS   int64  `json:"user_ns"` // CPU time of the client's process
	SysNS    int64  `json:"sys_ns"`
	Mallocs  uint64 `json:"mallocs"`
	AllocB   uint64 `json:"alloc_bytes"`
	GCs      uint32 `json:"gcs"`
	P50NS    int64  `json:"p50_ns,omitempty"`
	P99NS    int64  `json:"p99_ns,omitempty"`
	P999NS   int64  `json:"p999_ns,omitempty"`
	MaxNS    int64  `json:"max_ns,omitempty"`
	// Metrics are further figures of a scenario, by a name that says the unit.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Err     string             `json:"err,omitempty"`
}

// Add notes a further figure.
func (r *Result) Add(name string, value float64) {
	if r.Metrics == nil {
		r.Metrics = map[string]float64{}
	}
	r.Metrics[name] = value
}

// Latencies fills the percentiles in, with three digits.
func (r *Result) Latencies(samples []int64) {
	h := hdrhistogram.New(1, int64(patience), 3)
	for _, ns := range samples {
		// Out of range is what waits longer than anything may.
		_ = h.RecordValue(min(max(ns, 1), int64(patience)))
	}
	r.P50NS, r.P99NS, r.P999NS = h.ValueAtQuantile(50), h.ValueAtQuantile(99), h.ValueAtQuantile(99.9)
	r.MaxNS = h.Max()
}

// Meter measures a part of a run.
type Meter struct {
	hooks  Hooks
	start  time.Time
	cpu    usage
	memory runtime.MemStats
}

// Begin starts measuring, after a garbage collection.
func Begin(h Hooks) *Meter {
	m := &Meter{hooks: h}
	runtime.GC()
	if h.Begin != nil {
		h.Begin()
	}
	runtime.ReadMemStats(&m.memory)
	m.cpu = processUsage()
	m.start = time.Now()
	return m
}

// End writes into the result what was used since Begin.
func (m *Meter) End(r *Result) {
	r.WallNS = int64(time.Since(m.start))
	now := processUsage()
	r.UserNS, r.SysNS = int64(now.user-m.cpu.user), int64(now.sys-m.cpu.sys)
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	r.Mallocs = after.Mallocs - m.memory.Mallocs
	r.AllocB = after.TotalAlloc - m.memory.TotalAlloc
	r.GCs = after.NumGC - m.memory.NumGC
	if m.hooks.End != nil {
		m.hooks.End()
	}
}

// usage is what the process has used since its start.
type usage struct {
	user, sys time.Duration
	switches  int64 // voluntary context switches: how often it went to sleep
}
