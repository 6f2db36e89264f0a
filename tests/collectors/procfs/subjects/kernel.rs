//! CPUs, memory, processes and the kernel itself.

use std::fs;
use std::path::{Path, PathBuf};

use procfs_core::process::{LimitValue, Limits, Stat};
use procfs_core::{
    CGroupControllers, CpuInfo, CpuPressure, CpuTime, FromRead, FromReadSI, IoPressure, KernelStats, LoadAverage,
    Meminfo, MemoryPressure, ProcResult, VmStat,
};

use super::{SYSTEM, Samples, TICKS_PER_SECOND, plain, series};

pub(super) fn cgroups(proc: &Path) -> ProcResult<Samples> {
    let controllers = CGroupControllers::from_file(proc.join("cgroups"))?.0;
    let samples = controllers.iter().flat_map(|controller| {
        let of = |name, value| (series(name, &[("subsys_name", &controller.name)]), value);
        [
            of("node_cgroups_cgroups", f64::from(controller.num_cgroups)),
            of("node_cgroups_enabled", f64::from(u8::from(controller.enabled))),
        ]
    });
    Ok(samples.collect())
}

pub(super) fn cpuinfo(proc: &Path) -> ProcResult<Samples> {
    const LABELS: [(&str, &str); 10] = [
        ("cachesize", "cache size"),
        ("core", "core id"),
        ("cpu", "processor"),
        ("family", "cpu family"),
        ("microcode", "microcode"),
        ("model", "model"),
        ("model_name", "model name"),
        ("package", "physical id"),
        ("stepping", "stepping"),
        ("vendor", "vendor_id"),
    ];
    let info = CpuInfo::from_file(proc.join("cpuinfo"))?;
    let samples = (0..info.num_cores()).map(|cpu| {
        let labels = LABELS.map(|(label, field)| (label, info.get_field(cpu, field).unwrap_or_default()));
        (series("node_cpu_info", &labels), 1.0)
    });
    Ok(samples.collect())
}

pub(super) fn limits(proc: &Path) -> ProcResult<Samples> {
    let limit = match Limits::from_file(proc.join("self/limits"))?.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit as f64,
        LimitValue::Unlimited => f64::INFINITY,
    };
    Ok([plain("process_max_fds", limit)].into())
}

pub(super) fn loadavg(proc: &Path) -> ProcResult<Samples> {
    let load = LoadAverage::from_file(proc.join("loadavg"))?;
    // The nearest f64 of an f32 has other digits.
    let exact = |load: f32| load.to_string().parse().unwrap();
    Ok([
        plain("node_load1", exact(load.one)),
        plain("node_load5", exact(load.five)),
        plain("node_load15", exact(load.fifteen)),
    ]
    .into())
}

pub(super) fn is_of_memory(name: &str) -> bool {
    name.starts_with("node_memory_") && !name.starts_with("node_memory_numa_")
}

pub(super) fn meminfo(proc: &Path) -> ProcResult<Samples> {
    let info = Meminfo::from_file(proc.join("meminfo"))?;
    let bytes = [
        ("MemTotal", Some(info.mem_total)),
        ("MemFree", Some(info.mem_free)),
        ("MemAvailable", info.mem_available),
        ("Buffers", Some(info.buffers)),
        ("Cached", Some(info.cached)),
        ("SwapCached", Some(info.swap_cached)),
        ("Active", Some(info.active)),
        ("Inactive", Some(info.inactive)),
        ("Active_anon", info.active_anon),
        ("Inactive_anon", info.inactive_anon),
        ("Active_file", info.active_file),
        ("Inactive_file", info.inactive_file),
        ("Unevictable", info.unevictable),
        ("Mlocked", info.mlocked),
        ("HighTotal", info.high_total),
        ("HighFree", info.high_free),
        ("LowTotal", info.low_total),
        ("LowFree", info.low_free),
        ("SwapTotal", Some(info.swap_total)),
        ("SwapFree", Some(info.swap_free)),
        ("Dirty", Some(info.dirty)),
        ("Writeback", Some(info.writeback)),
        ("AnonPages", info.anon_pages),
        ("Mapped", Some(info.mapped)),
        ("Shmem", info.shmem),
        ("Slab", Some(info.slab)),
        ("SReclaimable", info.s_reclaimable),
        ("SUnreclaim", info.s_unreclaim),
        ("KReclaimable", info.k_reclaimable),
        ("KernelStack", info.kernel_stack),
        ("PageTables", info.page_tables),
        ("SecPageTables", info.secondary_page_tables),
        ("NFS_Unstable", info.nfs_unstable),
        ("Bounce", info.bounce),
        ("WritebackTmp", info.writeback_tmp),
        ("CommitLimit", info.commit_limit),
        ("Committed_AS", Some(info.committed_as)),
        ("VmallocTotal", Some(info.vmalloc_total)),
        ("VmallocUsed", Some(info.vmalloc_used)),
        ("VmallocChunk", Some(info.vmalloc_chunk)),
        ("HardwareCorrupted", info.hardware_corrupted),
        ("AnonHugePages", info.anon_hugepages),
        ("ShmemHugePages", info.shmem_hugepages),
        ("ShmemPmdMapped", info.shmem_pmd_mapped),
        ("FileHugePages", info.file_huge_pages),
        ("FilePmdMapped", info.file_pmd_mapped),
        ("CmaTotal", info.cma_total),
        ("CmaFree", info.cma_free),
        ("Hugepagesize", info.hugepagesize),
        ("Hugetlb", info.hugetlb),
        ("DirectMap4k", info.direct_map_4k),
        ("DirectMap2M", info.direct_map_2M),
        ("DirectMap1G", info.direct_map_1G),
        ("Percpu", info.per_cpu),
        ("Zswap", info.z_swap),
        ("Zswapped", info.z_swapped),
    ];
    let pages = [
        ("HugePages_Total", info.hugepages_total),
        ("HugePages_Free", info.hugepages_free),
        ("HugePages_Rsvd", info.hugepages_rsvd),
        ("HugePages_Surp", info.hugepages_surp),
    ];
    let bytes = bytes.into_iter().map(|(name, value)| (format!("node_memory_{name}_bytes"), value));
    let pages = pages.into_iter().map(|(name, value)| (format!("node_memory_{name}"), value));
    Ok(bytes.chain(pages).filter_map(|(name, value)| Some((name, value? as f64))).collect())
}

pub(super) fn is_of_pressure(name: &str) -> bool {
    name.starts_with("node_pressure_") && !name.starts_with("node_pressure_irq_")
}

pub(super) fn pressure(proc: &Path) -> ProcResult<Samples> {
    let cpu = CpuPressure::from_file(proc.join("pressure/cpu"))?;
    let memory = MemoryPressure::from_file(proc.join("pressure/memory"))?;
    let io = IoPressure::from_file(proc.join("pressure/io"))?;
    let totals = [
        ("cpu_waiting", cpu.some.total),
        ("memory_waiting", memory.some.total),
        ("memory_stalled", memory.full.total),
        ("io_waiting", io.some.total),
        ("io_stalled", io.full.total),
    ];
    let seconds = |microseconds: u64| microseconds as f64 / 1e6;
    Ok(totals
        .into_iter()
        .map(|(name, total)| (format!("node_pressure_{name}_seconds_total"), seconds(total)))
        .collect())
}

pub(super) fn is_of_processes(name: &str) -> bool {
    ["node_processes_pids", "node_processes_state", "node_processes_threads"].contains(&name)
}

pub(super) fn processes(proc: &Path) -> ProcResult<Samples> {
    let mut samples = Samples::new();
    let pids = fs::read_dir(proc)?.map(|entry| entry.unwrap().path());
    let is_process = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    for process in pids.filter(is_process).filter(|process| process.join("stat").exists()) {
        let stat = Stat::from_file(process.join("stat"))?;
        *samples.entry("node_processes_pids".to_owned()).or_default() += 1.0;
        *samples.entry("node_processes_threads".to_owned()).or_default() += stat.num_threads as f64;
        *samples.entry(series("node_processes_state", &[("state", &stat.state.to_string())])).or_default() += 1.0;
    }
    Ok(samples)
}

pub(super) fn is_of_process(name: &str) -> bool {
    ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"].contains(&name)
}

pub(super) fn process(proc: &Path) -> ProcResult<Samples> {
    let stat = Stat::from_file(proc.join("self/stat"))?;
    Ok([
        plain("process_cpu_seconds_total", (stat.utime + stat.stime) as f64 / TICKS_PER_SECOND as f64),
        plain("process_resident_memory_bytes", stat.rss as f64 * SYSTEM.page_size as f64),
        plain("process_virtual_memory_bytes", stat.vsize as f64),
    ]
    .into())
}

pub(super) fn is_of_stat(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "node_boot_time_seconds",
        "node_context_switches_total",
        "node_cpu_guest_seconds_total",
        "node_cpu_seconds_total",
        "node_forks_total",
        "node_procs_blocked",
        "node_procs_running",
    ];
    NAMES.contains(&name)
}

pub(super) fn stat(proc: &Path) -> ProcResult<Samples> {
    let stats = KernelStats::from_file(proc.join("stat"), &SYSTEM)?;
    let mut samples: Samples = [
        plain("node_boot_time_seconds", stats.btime as f64),
        plain("node_context_switches_total", stats.ctxt as f64),
        plain("node_forks_total", stats.processes as f64),
    ]
    .into();
    samples.extend(stats.procs_blocked.map(|count| plain("node_procs_blocked", count.into())));
    samples.extend(stats.procs_running.map(|count| plain("node_procs_running", count.into())));
    // procfs-core keeps no numbers of CPUs, so that they are known only if none is missing.
    stats.cpu_time.iter().enumerate().for_each(|(cpu, times)| samples.extend(cpu_times(&cpu.to_string(), times)));
    Ok(samples)
}

fn cpu_times(cpu: &str, times: &CpuTime) -> Vec<(String, f64)> {
    let times = [
        ("node_cpu_seconds_total", "user", Some(times.user)),
        ("node_cpu_seconds_total", "nice", Some(times.nice)),
        ("node_cpu_seconds_total", "system", Some(times.system)),
        ("node_cpu_seconds_total", "idle", Some(times.idle)),
        ("node_cpu_seconds_total", "iowait", times.iowait),
        ("node_cpu_seconds_total", "irq", times.irq),
        ("node_cpu_seconds_total", "softirq", times.softirq),
        ("node_cpu_seconds_total", "steal", times.steal),
        ("node_cpu_guest_seconds_total", "user", times.guest),
        ("node_cpu_guest_seconds_total", "nice", times.guest_nice),
    ];
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND as f64;
    let sample = |(name, mode, ticks): (&str, &str, Option<u64>)| {
        Some((series(name, &[("cpu", cpu), ("mode", mode)]), seconds(ticks?)))
    };
    times.into_iter().filter_map(sample).collect()
}

pub(super) fn vmstat(proc: &Path) -> ProcResult<Samples> {
    let counts = VmStat::from_file(proc.join("vmstat"))?.0;
    Ok(counts.into_iter().map(|(name, count)| (format!("node_vmstat_{name}"), count as f64)).collect())
}
