//! NVIDIA's GPUs, by a stand-in for the library of the driver, which the test builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Taffrail, wait_until};

/// Two GPUs. The second is lost. -1 is the value of what a GPU does not have. Calls hang while the file HANG exists.
const LIBRARY: &str = r#"
#include <string.h>
#include <unistd.h>
typedef unsigned int u;
typedef unsigned long long ull;
typedef struct { u version; ull total, reserved, free, used; } memory;
typedef struct { char legacy[16]; u numbers[5]; char id[32]; } pci;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(u *n) { while (!access("HANG", F_OK)) usleep(10000); *n = 2; return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12040; return 0; }
int nvmlSystemGetDriverVersion(char *to, u n) { strncpy(to, "550.54", n); return 0; }
int nvmlDeviceGetHandleByIndex_v2(u i, void **d) { *d = (void *)(ull)(i + 1); return i ? 15 : 0; }
int nvmlDeviceGetName(void *d, char *to, u n) { strncpy(to, "NVIDIA Made Up", n); return 0; }
int nvmlDeviceGetUUID(void *d, char *to, u n) { strncpy(to, "GPU-1", n); return 0; }
int nvmlDeviceGetPciInfo_v3(void *d, pci *p) { strcpy(p->id, "00000000:1B:00.0"); return 0; }
int nvmlDeviceGetMinorNumber(void *d, u *v) { *v = 0; return 0; }
int nvmlDeviceGetTemperature(void *d, int s, u *v) { *v = 41 + s; return 0; }
int nvmlDeviceGetPowerUsage(void *d, u *v) { *v = 65500; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *d, u *v) { *v = 300000; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *d, ull *v) { *v = 5000000000ull; return 0; }
int nvmlDeviceGetUtilizationRates(void *d, u *v) { v[0] = 70; v[1] = 30; return 0; }
int nvmlDeviceGetEncoderUtilization(void *d, u *v, u *p) { *v = 5; *p = 100; return 0; }
int nvmlDeviceGetDecoderUtilization(void *d, u *v, u *p) { return 3; }
int nvmlDeviceGetMemoryInfo_v2(void *d, memory *m) {
    if (m->version != (sizeof(memory) | 2 << 24)) return 2;
    m->total = 16ull << 30; m->reserved = -1; m->free = 12ull << 30; m->used = 3840ull << 20;
    return 0;
}
int nvmlDeviceGetClockInfo(void *d, int k, u *v) { *v = 1000 + k; return 0; }
int nvmlDeviceGetFanSpeed(void *d, u *v) { *v = -1; return 0; }
int nvmlDeviceGetPerformanceState(void *d, u *v) { *v = 2; return 0; }
int nvmlDeviceGetComputeMode(void *d, u *v) { *v = 0; return 0; }
int nvmlDeviceGetPcieReplayCounter(void *d, u *v) { *v = 3; return 0; }
int nvmlDeviceGetRemappedRows(void *d, u *c, u *n, u *p, u *f) { *c = 1; *n = 2; *p = 0; *f = 0; return 0; }
int nvmlDeviceGetEncoderStats(void *d, u *s, u *f, u *l) { *s = 1; *f = 60; *l = -1; return 0; }
int nvmlDeviceGetDisplayActive(void *d, u *v) { *v = 0; return 0; }
int nvmlDeviceGetEccMode(void *d, u *c, u *p) { *c = 1; *p = 1; return 0; }
"#;

/// Builds the library in `folder`.
fn build(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("nvml.c"), folder.join("libnvidia-ml.so.1"));
    fs::write(&source, LIBRARY.replace("HANG", folder.join("hang").to_str().unwrap())).unwrap();
    let unfinished = folder.join("unfinished");
    let status = Command::new("gcc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&unfinished).arg(&source).status();
    assert!(status.unwrap().success());
    fs::rename(unfinished, &library).unwrap();
    library
}

fn start(folder: &Path, more: &str) -> Taffrail {
    let library = folder.join("libnvidia-ml.so.1");
    Taffrail::start(&format!(
        "{more}[collectors]\ndefault = false\nenable = ['loadavg']\n[collectors.nvidia]\nenabled = true\nlibrary = '{}'\n",
        library.display()
    ))
}

#[test]
#[ignore = "needs Debian's package g++: tests/run"]
fn with_gxx_gpus_have_the_names_of_dcgm_exporter_and_of_telegraf() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let lines = folder.path().join("lines");
    let taffrail = start(
        folder.path(),
        &format!("[agent]\ninterval = '50ms'\n[tags]\nhost = 'h'\n[[sinks.file]]\npath = '{}'\n", lines.display()),
    );
    let labels = "{DCGM_FI_DRIVER_VERSION=\"550.54\",UUID=\"GPU-1\",device=\"nvidia0\",gpu=\"0\",modelName=\"NVIDIA Made Up\",\
                  pci_bus_id=\"00000000:1B:00.0\"}";
    wait_until("a GPU", || taffrail.get("/metrics").sample(&format!("DCGM_FI_DEV_GPU_TEMP{labels}")));
    let page = taffrail.get("/metrics");
    let found: Vec<String> =
        page.text().lines().filter(|line| line.starts_with("DCGM_")).map(|line| line.replace(labels, "")).collect();
    let expected = [
        "DCGM_FI_DEV_SM_CLOCK 1001",
        "DCGM_FI_DEV_MEM_CLOCK 1002",
        "DCGM_FI_DEV_GPU_TEMP 41",
        "DCGM_FI_DEV_POWER_USAGE 65.5",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 5000000000",
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER 3",
        "DCGM_FI_DEV_GPU_UTIL 70",
        "DCGM_FI_DEV_MEM_COPY_UTIL 30",
        "DCGM_FI_DEV_ENC_UTIL 5",
        "DCGM_FI_DEV_FB_FREE 12288",
        "DCGM_FI_DEV_FB_USED 3840",
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS 2",
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS 1",
        "DCGM_FI_DEV_ROW_REMAP_FAILURE 0",
    ];
    assert_eq!(found, expected);
    assert!(page.text().contains("# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter"), "{}", page.text());
    let point = "nvidia_smi,compute_mode=Default,host=h,index=0,name=NVIDIA\\ Made\\ Up,pstate=P2,uuid=GPU-1 temperature_gpu=41i,\
                 utilization_gpu=70i,utilization_memory=30i,utilization_encoder=5i,memory_total=16384i,memory_used=3840i,\
                 memory_free=12288i,clocks_current_graphics=1000i,clocks_current_sm=1001i,\
                 clocks_current_memory=1002i,clocks_current_video=1003i,encoder_stats_session_count=1i,\
                 encoder_stats_average_fps=60i,remapped_rows_correctable=1i,\
                 remapped_rows_uncorrectable=2i,power_draw=65.5,power_limit=300,driver_version=\"550.54\",\
                 cuda_version=\"12.4\",display_active=\"Disabled\",current_ecc=\"Enabled\" ";
    wait_until("a point", || {
        let text = fs::read_to_string(&lines).unwrap_or_default();
        text.lines().any(|line| line.starts_with(point)).then_some(())
    });
    taffrail.wait_for_log("GPU 1: the GPU is lost: it has fallen off the bus");
}

#[test]
#[ignore = "needs Debian's package g++: tests/run"]
fn with_gxx_a_driver_that_hangs_costs_itself() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let hang = folder.path().join("hang");
    fs::write(&hang, "").unwrap();
    let taffrail = start(folder.path(), "");
    let success = "node_scrape_collector_success{collector=\"nvidia\"}";
    for _ in 0..3 {
        let page = taffrail.get("/metrics");
        assert_eq!(page.sample(success), Some(0.0), "{}", page.text());
        assert!(page.sample("node_load1").is_some(), "{}", page.text());
    }
    fs::remove_file(&hang).unwrap();
    wait_until("its end", || {
        let page = taffrail.get("/metrics");
        page.text().contains("DCGM_FI_DEV_GPU_TEMP{").then_some(())
    });
}

#[test]
fn a_library_that_is_missing_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let taffrail = start(folder.path(), "");
    for _ in 0..5 {
        let page = taffrail.get("/metrics");
        assert_eq!(page.sample("node_scrape_collector_success{collector=\"nvidia\"}"), Some(0.0), "{}", page.text());
    }
    taffrail.wait_for_log("libnvidia-ml.so.1: No such file or directory");
    assert_eq!(taffrail.logged("libnvidia-ml.so.1: "), 1, "{:#?}", taffrail.log());
}

#[test]
fn a_library_that_cannot_be_read_costs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    // The loader would wait for a writer, with a lock that every new thread needs.
    rustix::fs::mknodat(rustix::fs::CWD, &library, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let taffrail = start(folder.path(), "");
    assert!(taffrail.get("/metrics").sample("node_load1").is_some());
    taffrail.wait_for_log("libnvidia-ml.so.1: expected a regular file, found a FIFO");
    drop(taffrail);
    fs::remove_file(&library).unwrap();
    fs::write(&library, "no library").unwrap();
    let taffrail = start(folder.path(), "");
    taffrail.get("/metrics");
    taffrail.wait_for_log("libnvidia-ml.so.1: file too short");
}
