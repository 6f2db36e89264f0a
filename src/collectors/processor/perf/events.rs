//! Perf events that are exported.

use crate::encode::Family;
use crate::host::perf::Event;

/// Event group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Hardware events of the CPU.
    Hardware,
    /// Software events of the kernel.
    Software,
    /// Hardware cache events.
    Cache,
}

impl Group {
    pub(super) const ALL: [Group; 3] = [Group::Hardware, Group::Software, Group::Cache];
}

/// An event, with its name in the configuration.
pub(super) struct Profiler {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) event: Event,
    pub(super) family: Family<1>,
}

const fn profiler(
    group: Group,
    kind: u32,
    number: u64,
    name: &'static str,
    family: &'static str,
    help: &'static str,
) -> Profiler {
    Profiler { name, group, event: Event { kind, number }, family: Family::counter(family, help, ["cpu"]) }
}

/// `PERF_TYPE_HARDWARE`, by `enum perf_hw_id`.
const fn hardware(number: u64, name: &'static str, family: &'static str, help: &'static str) -> Profiler {
    profiler(Group::Hardware, 0, number, name, family, help)
}

/// `PERF_TYPE_SOFTWARE`, by `enum perf_sw_ids`.
const fn software(number: u64, name: &'static str, family: &'static str, help: &'static str) -> Profiler {
    profiler(Group::Software, 1, number, name, family, help)
}

/// `PERF_TYPE_HW_CACHE`: cache, operation and result.
const fn cache(event: (u64, u64, u64), name: &'static str, family: &'static str, help: &'static str) -> Profiler {
    let (cache, operation, result) = event;
    profiler(Group::Cache, 3, cache | operation << 8 | result << 16, name, family, help)
}

const L1D: u64 = 0;
const L1I: u64 = 1;
const LL: u64 = 2;
const DTLB: u64 = 3;
const ITLB: u64 = 4;
const BPU: u64 = 5;
const READ: u64 = 0;
const WRITE: u64 = 1;
const HIT: u64 = 0;
const MISS: u64 = 1;

pub(super) const PROFILERS: [Profiler; 30] = [
    hardware(0, "CpuCycles", "node_perf_cpucycles_total", "CPU cycles"),
    hardware(1, "CpuInstr", "node_perf_instructions_total", "Instructions retired"),
    hardware(4, "BranchInstr", "node_perf_branch_instructions_total", "Branch instructions retired"),
    hardware(5, "BranchMisses", "node_perf_branch_misses_total", "Mispredicted branch instructions"),
    hardware(2, "CacheRef", "node_perf_cache_refs_total", "Cache references"),
    hardware(3, "CacheMisses", "node_perf_cache_misses_total", "Cache misses"),
    hardware(
        9,
        "RefCpuCycles",
        "node_perf_ref_cpucycles_total",
        "CPU cycles at the reference clock, not affected by frequency scaling",
    ),
    hardware(8, "StalledCyclesBackend", "node_perf_stalled_cycles_backend_total", "Stalled CPU cycles, backend"),
    hardware(7, "StalledCyclesFrontend", "node_perf_stalled_cycles_frontend_total", "Stalled CPU cycles, frontend"),
    software(2, "PageFault", "node_perf_page_faults_total", "Page faults"),
    software(3, "ContextSwitch", "node_perf_context_switches_total", "Context switches"),
    software(4, "CpuMigration", "node_perf_cpu_migrations_total", "Task migrations to another CPU"),
    software(5, "MinorFault", "node_perf_minor_faults_total", "Minor page faults"),
    software(6, "MajorFault", "node_perf_major_faults_total", "Major page faults"),
    cache((L1D, READ, HIT), "L1DataReadHit", "node_perf_cache_l1d_read_hits_total", "L1 data cache read hits"),
    cache((L1D, READ, MISS), "L1DataReadMiss", "node_perf_cache_l1d_read_misses_total", "L1 data cache read misses"),
    cache((L1D, WRITE, HIT), "L1DataWriteHit", "node_perf_cache_l1d_write_hits_total", "L1 data cache write hits"),
    cache(
        (L1I, READ, MISS),
        "L1InstrReadMiss",
        "node_perf_cache_l1_instr_read_misses_total",
        "L1 instruction cache misses",
    ),
    cache((ITLB, READ, HIT), "InstrTLBReadHit", "node_perf_cache_tlb_instr_read_hits_total", "Instruction TLB hits"),
    cache(
        (ITLB, READ, MISS),
        "InstrTLBReadMiss",
        "node_perf_cache_tlb_instr_read_misses_total",
        "Instruction TLB misses",
    ),
    cache((DTLB, READ, HIT), "DataTLBReadHit", "node_perf_cache_tlb_data_read_hits_total", "Data TLB read hits"),
    cache((DTLB, READ, MISS), "DataTLBReadMiss", "node_perf_cache_tlb_data_read_misses_total", "Data TLB read misses"),
    cache((DTLB, WRITE, HIT), "DataTLBWriteHit", "node_perf_cache_tlb_data_write_hits_total", "Data TLB write hits"),
    cache(
        (DTLB, WRITE, MISS),
        "DataTLBWriteMiss",
        "node_perf_cache_tlb_data_write_misses_total",
        "Data TLB write misses",
    ),
    cache((LL, READ, HIT), "LLReadHit", "node_perf_cache_ll_read_hits_total", "Last-level cache read hits"),
    cache((LL, READ, MISS), "LLReadMiss", "node_perf_cache_ll_read_misses_total", "Last-level cache read misses"),
    cache((LL, WRITE, HIT), "LLWriteHit", "node_perf_cache_ll_write_hits_total", "Last-level cache write hits"),
    cache((LL, WRITE, MISS), "LLWriteMiss", "node_perf_cache_ll_write_misses_total", "Last-level cache write misses"),
    cache((BPU, READ, HIT), "BPUReadHit", "node_perf_cache_bpu_read_hits_total", "Branch prediction unit read hits"),
    cache(
        (BPU, READ, MISS),
        "BPUReadMiss",
        "node_perf_cache_bpu_read_misses_total",
        "Branch prediction unit read misses",
    ),
];
