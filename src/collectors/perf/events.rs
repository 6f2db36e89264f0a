//! The events that have families.

use crate::encode::Family;
use crate::host::perf::Event;

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The CPU's own.
    Hardware,
    /// The kernel's.
    Software,
    /// Those of the CPU's caches.
    Cache,
}

impl Group {
    pub(super) const ALL: [Group; 3] = [Group::Hardware, Group::Software, Group::Cache];
}

/// An event by the name that the configuration has for it.
pub(super) struct Profiler {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) event: Event,
    pub(super) family: Family<1>,
}

const fn of(
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
    of(Group::Hardware, 0, number, name, family, help)
}

/// `PERF_TYPE_SOFTWARE`, by `enum perf_sw_ids`.
const fn software(number: u64, name: &'static str, family: &'static str, help: &'static str) -> Profiler {
    of(Group::Software, 1, number, name, family, help)
}

/// `PERF_TYPE_HW_CACHE`: which cache, what is done there, and how it ends.
const fn cache(event: (u64, u64, u64), name: &'static str, family: &'static str, help: &'static str) -> Profiler {
    let (cache, operation, result) = event;
    of(Group::Cache, 3, cache | operation << 8 | result << 16, name, family, help)
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
    hardware(0, "CpuCycles", "node_perf_cpucycles_total", "Cycles of the CPU, as it was clocked."),
    hardware(1, "CpuInstr", "node_perf_instructions_total", "Instructions that the CPU has done."),
    hardware(4, "BranchInstr", "node_perf_branch_instructions_total", "Branches."),
    hardware(5, "BranchMisses", "node_perf_branch_misses_total", "Branches that were predicted wrongly."),
    hardware(2, "CacheRef", "node_perf_cache_refs_total", "Accesses of caches."),
    hardware(3, "CacheMisses", "node_perf_cache_misses_total", "Accesses of caches that missed."),
    hardware(9, "RefCpuCycles", "node_perf_ref_cpucycles_total", "Cycles of the CPU at its nominal clock."),
    hardware(
        8,
        "StalledCyclesBackend",
        "node_perf_stalled_cycles_backend_total",
        "Cycles in which the CPU waited for data or units.",
    ),
    hardware(
        7,
        "StalledCyclesFrontend",
        "node_perf_stalled_cycles_frontend_total",
        "Cycles in which the CPU waited for instructions.",
    ),
    software(2, "PageFault", "node_perf_page_faults_total", "Page faults."),
    software(3, "ContextSwitch", "node_perf_context_switches_total", "Switches from one task to another."),
    software(4, "CpuMigration", "node_perf_cpu_migrations_total", "Tasks that came from another CPU."),
    software(5, "MinorFault", "node_perf_minor_faults_total", "Page faults that needed no disk."),
    software(6, "MajorFault", "node_perf_major_faults_total", "Page faults that needed a disk."),
    cache((L1D, READ, HIT), "L1DataReadHit", "node_perf_cache_l1d_read_hits_total", "Reads in the first data cache."),
    cache(
        (L1D, READ, MISS),
        "L1DataReadMiss",
        "node_perf_cache_l1d_read_misses_total",
        "Reads that missed the first data cache.",
    ),
    cache(
        (L1D, WRITE, HIT),
        "L1DataWriteHit",
        "node_perf_cache_l1d_write_hits_total",
        "Writes in the first data cache.",
    ),
    cache(
        (L1I, READ, MISS),
        "L1InstrReadMiss",
        "node_perf_cache_l1_instr_read_misses_total",
        "Instructions that missed the first cache.",
    ),
    cache(
        (ITLB, READ, HIT),
        "InstrTLBReadHit",
        "node_perf_cache_tlb_instr_read_hits_total",
        "Translations of instructions' addresses that were at hand.",
    ),
    cache(
        (ITLB, READ, MISS),
        "InstrTLBReadMiss",
        "node_perf_cache_tlb_instr_read_misses_total",
        "Translations of instructions' addresses that had to be looked up.",
    ),
    cache(
        (DTLB, READ, HIT),
        "DataTLBReadHit",
        "node_perf_cache_tlb_data_read_hits_total",
        "Translations of read addresses that were at hand.",
    ),
    cache(
        (DTLB, READ, MISS),
        "DataTLBReadMiss",
        "node_perf_cache_tlb_data_read_misses_total",
        "Translations of read addresses that had to be looked up.",
    ),
    cache(
        (DTLB, WRITE, HIT),
        "DataTLBWriteHit",
        "node_perf_cache_tlb_data_write_hits_total",
        "Translations of written addresses that were at hand.",
    ),
    cache(
        (DTLB, WRITE, MISS),
        "DataTLBWriteMiss",
        "node_perf_cache_tlb_data_write_misses_total",
        "Translations of written addresses that had to be looked up.",
    ),
    cache((LL, READ, HIT), "LLReadHit", "node_perf_cache_ll_read_hits_total", "Reads in the last cache."),
    cache((LL, READ, MISS), "LLReadMiss", "node_perf_cache_ll_read_misses_total", "Reads that missed the last cache."),
    cache((LL, WRITE, HIT), "LLWriteHit", "node_perf_cache_ll_write_hits_total", "Writes in the last cache."),
    cache(
        (LL, WRITE, MISS),
        "LLWriteMiss",
        "node_perf_cache_ll_write_misses_total",
        "Writes that missed the last cache.",
    ),
    cache((BPU, READ, HIT), "BPUReadHit", "node_perf_cache_bpu_read_hits_total", "Predictions of branches."),
    cache(
        (BPU, READ, MISS),
        "BPUReadMiss",
        "node_perf_cache_bpu_read_misses_total",
        "Branches that could not be predicted.",
    ),
];
