//! Disks, by a stand-in for smartctl and by files: both vocabularies, exit statuses, standby, hangs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::{Taffrail, config_file, printed, taffrail, wait_until};

/// An ATA disk that fails: bits 3 and 4 of the exit status.
const ATA: &str = r#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"svn_revision":"5338",
"build_info":"(local build)","exit_status":24},"local_time":{"time_t":1700000000},
"device":{"name":"/dev/sda","info_name":"/dev/sda [SAT]","type":"sat","protocol":"ATA"},
"model_family":"Made Up","model_name":"DISK 1000","serial_number":"S1","wwn":{"naa":5,"oui":3152,"id":9876543210},
"firmware_version":"F1","user_capacity":{"blocks":1953525168,"bytes":1000204886016},"logical_block_size":512,
"physical_block_size":4096,"rotation_rate":7200,"form_factor":{"ata_value":2,"name":"3.5 inches"},
"ata_version":{"string":"ACS-3"},"sata_version":{"string":"SATA 3.1"},
"interface_speed":{"max":{"units_per_second":60,"bits_per_unit":100000000}},
"smart_support":{"available":true,"enabled":true},"smart_status":{"passed":false},
"ata_smart_attributes":{"revision":16,"table":[
{"id":5,"name":"Reallocated_Sector_Ct","value":1,"worst":1,"thresh":36,"when_failed":"now",
"flags":{"value":51,"string":"PO--CK ","prefailure":true,"updated_online":true,"event_count":true,"auto_keep":true},
"raw":{"value":4096,"string":"4096"}},
{"id":194,"name":"Temperature_Celsius","value":63,"worst":55,"thresh":0,"when_failed":"",
"flags":{"value":34,"string":"-O---K ","updated_online":true,"auto_keep":true},
"raw":{"value":154621640741,"string":"37 (Min/Max 20/45)"}}]},
"power_on_time":{"hours":1234,"minutes":30},"power_cycle_count":42,"temperature":{"current":37,"drive_trip":60},
"ata_smart_error_log":{"summary":{"revision":1,"count":3}},
"ata_smart_self_test_log":{"standard":{"count":2,"error_count_total":1}},
"ata_sct_erc":{"read":{"enabled":true,"deciseconds":70}}}"#;

const NVME: &str = r#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"exit_status":0},"local_time":{"time_t":1700000000},
"device":{"name":"/dev/nvme0","info_name":"/dev/nvme0","type":"nvme","protocol":"NVMe"},"model_name":"FAST 1",
"serial_number":"N1","nvme_total_capacity":2000398934016,"smart_status":{"passed":true,"nvme":{"value":0}},
"nvme_smart_health_information_log":{"critical_warning":0,"temperature":40,"available_spare":100,
"available_spare_threshold":10,"percentage_used":3,"data_units_read":1000,"data_units_written":2000,"host_reads":5,
"host_writes":6,"controller_busy_time":7,"power_cycles":8,"power_on_hours":9,"unsafe_shutdowns":2,"media_errors":0,
"num_err_log_entries":11,"warning_temp_time":0,"critical_comp_time":0},"temperature":{"current":40}}"#;

/// A SAS disk behind a controller.
const SCSI: &str = r#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"exit_status":0},"local_time":{"time_t":1700000000},
"device":{"name":"/dev/bus/0","info_name":"/dev/bus/0 [megaraid_disk_01]","type":"megaraid,1","protocol":"SCSI"},
"scsi_vendor":"MADE","scsi_product":"UP","scsi_model_name":"MADE UP","scsi_revision":"R1","scsi_version":"SPC-4",
"serial_number":"C1","smart_status":{"passed":true},"temperature":{"current":30},"scsi_grown_defect_list":4,
"scsi_start_stop_cycle_counter":{"accumulated_start_stop_cycles":17},
"scsi_error_counter_log":{"read":{"errors_corrected_by_eccfast":1,"errors_corrected_by_eccdelayed":2,
"errors_corrected_by_rereads_rewrites":3,"total_errors_corrected":6,"correction_algorithm_invocations":7,
"gigabytes_processed":"1.5","total_uncorrected_errors":1}}}"#;

const STANDBY: &str = r#"{"smartctl":{"exit_status":2,
"messages":[{"string":"Device is in STANDBY mode, exit(2)","severity":"information"}]},"local_time":{"time_t":1700000100},
"device":{"name":"/dev/sda","type":"sat"}}"#;

const DENIED: &str = r#"{"smartctl":{"exit_status":2,
"messages":[{"string":"Smartctl open device: /dev/sdb failed: Permission denied","severity":"error"}]}}"#;

/// A smartctl that finds the devices, and prints the file of the one that it is asked about; its status is in the file.
fn stand_in(folder: &Path) -> String {
    let file = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    file("_dev_sda", ATA);
    file("_dev_nvme0", NVME);
    file("_dev_bus_0", SCSI);
    file("_dev_sdb", DENIED);
    let devices = [("/dev/sda", "scsi"), ("/dev/sdb", "scsi"), ("/dev/nvme0", "nvme"), ("/dev/bus/0", "megaraid,1")];
    let json = devices.map(|(name, of_type)| format!(r#"{{"name":"{name}","type":"{of_type}"}}"#)).join(",");
    file("scan.json", &format!(r#"{{"smartctl":{{"exit_status":0}},"devices":[{json}]}}"#));
    file("scan", &devices.map(|(name, of_type)| format!("{name} -d {of_type} # {name}\n")).concat());
    let script = r#"#!/bin/sh
cd DIR
echo "$*" >>asked
for word; do [ "$word" = --scan ] && scan=1; [ "$word" = --json=c ] && json=.json; device=$word; done
if [ "$scan" ]; then cat "scan$json"; exit 0; fi
[ -e "hang$(echo "$device" | tr / _)" ] && exec sleep 1000
file=$(echo "$device" | tr / _)
cat "$file"
exit "$(tr -d '\n' <"$file" | sed 's/.*"exit_status":\([0-9]*\).*/\1/')"
"#;
    let path = folder.join("smartctl");
    fs::write(&path, script.replace("DIR", folder.to_str().unwrap())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn start(folder: &Path, settings: &str) -> Taffrail {
    let settings = settings.replace("DIR", folder.to_str().unwrap());
    Taffrail::start(&format!("[collectors]\ndefault = false\n[[collectors.smart]]\n{settings}"))
}

fn wait_for(taffrail: &Taffrail, series: &str, value: f64) {
    wait_until(series, || taffrail.get("/metrics").sample(series).filter(|found| *found == value));
}

/// What a scrape reports in the log.
fn wait_for_problem(taffrail: &Taffrail, text: &str) {
    wait_until(text, || {
        taffrail.get("/metrics");
        (taffrail.logged(text) > 0).then_some(())
    });
}

#[test]
fn devices_are_found_and_read_under_the_names_of_smartctl_exporter() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path());
    let taffrail = start(folder.path(), "path = 'DIR/smartctl'\n");
    for device in ["sda", "nvme0", "bus_0_megaraid_1"] {
        wait_for(&taffrail, &format!("taffrail_smart_success{{device=\"{device}\"}}"), 1.0);
    }
    wait_for(&taffrail, "taffrail_smart_success{device=\"sdb\"}", 0.0);
    let page = taffrail.get("/metrics");
    for line in [
        "smartctl_devices 4",
        "smartctl_device{ata_additional_product_id=\"unknown\",ata_version=\"ACS-3\",device=\"sda\",firmware_version=\"F1\",\
         form_factor=\"3.5 inches\",interface=\"sat\",model_family=\"Made Up\",model_name=\"DISK 1000\",protocol=\"ATA\",\
         sata_version=\"SATA 3.1\",scsi_product=\"\",scsi_revision=\"\",scsi_vendor=\"\",scsi_version=\"\",serial_number=\"S1\"} 1",
        "smartctl_device_smartctl_exit_status{device=\"sda\"} 24",
        "smartctl_device_smart_status{device=\"sda\"} 0",
        "smartctl_device_smart_status{device=\"nvme0\"} 1",
        "smartctl_device_capacity_bytes{device=\"sda\"} 1000204886016",
        "smartctl_device_block_size{blocks_type=\"physical\",device=\"sda\"} 4096",
        "smartctl_device_interface_speed{device=\"sda\",speed_type=\"max\"} 6000000000",
        "smartctl_device_power_on_seconds{device=\"sda\"} 4444200",
        "smartctl_device_temperature{device=\"sda\",temperature_type=\"current\"} 37",
        "smartctl_device_temperature{device=\"sda\",temperature_type=\"drive_trip\"} 60",
        "smartctl_device_attribute{attribute_flags_long=\"prefailure,updated_online,event_count,auto_keep\",\
         attribute_flags_short=\"PO--CK\",attribute_id=\"5\",attribute_name=\"Reallocated_Sector_Ct\",\
         attribute_value_type=\"raw\",device=\"sda\"} 4096",
        "smartctl_device_error_log_count{device=\"sda\",error_log_type=\"summary\"} 3",
        "smartctl_device_self_test_log_error_count{device=\"sda\",self_test_log_type=\"standard\"} 1",
        "smartctl_device_erc_seconds{device=\"sda\",op_type=\"read\"} 7",
        "smartctl_device_bytes_written{device=\"nvme0\"} 1024000000",
        "smartctl_device_num_err_log_entries{device=\"nvme0\"} 11",
        "smartctl_device_bytes_read{device=\"bus_0_megaraid_1\"} 1500000000",
        "smartctl_scsi_grown_defect_list{device=\"bus_0_megaraid_1\"} 4",
        "smartctl_device_power_cycle_count{device=\"bus_0_megaraid_1\"} 17",
        "smartctl_read_total_uncorrected_errors{device=\"bus_0_megaraid_1\"} 1",
        "# TYPE smartctl_device_percentage_used counter",
    ] {
        assert!(page.text().lines().any(|found| found == line), "{line}: {}", page.text());
    }
    assert!(!page.text().contains("smartctl_device_smart_status{device=\"sdb\"}"), "{}", page.text());
    wait_for_problem(&taffrail, "sdb: Smartctl open device: /dev/sdb failed: Permission denied");
    // A disk that the scan reports as SCSI may be another; a type with a number selects a disk.
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    let of = |device: &str| asked.lines().find(|line| line.ends_with(device)).unwrap().to_owned();
    assert!(!of("/dev/sda").contains("--device"), "{asked}");
    assert!(
        of("/dev/bus/0").contains("--device=megaraid,1") && of("/dev/sda").contains("--nocheck=standby"),
        "{asked}"
    );
}

#[test]
fn points_have_the_names_and_types_of_telegraf() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path());
    let _taffrail = start(
        folder.path(),
        "path = 'DIR/smartctl'\nmeasurements = ['smart_device', 'smart_attribute', 'smartctl']\n\
         [agent]\ninterval = '50ms'\n[tags]\nhost = 'h'\n[[sinks.file]]\npath = 'DIR/lines'\n",
    );
    let time = "1700000000000000000";
    let sda = "capacity=1000204886016,device=sda,enabled=Enabled";
    let id = "serial_no=S1,wwn=5000c5024cb016ea";
    let expected = [
        format!(
            "smart_device,{sda},host=h,model=DISK\\ 1000,{id} exit_status=24i,health_ok=false,reallocated_sectors_count=4096i,\
             temp_c=37i,power_on_hours=1234i,power_cycle_count=42i {time}"
        ),
        format!(
            "smart_attribute,{sda},fail=FAILING_NOW,flags=PO--CK,host=h,id=5,model=DISK\\ 1000,name=Reallocated_Sector_Ct,{id} \
             value=1i,worst=1i,threshold=36i,raw_value=4096i,exit_status=24i {time}"
        ),
        format!(
            "smartctl_attributes,host=h,model=DISK\\ 1000,name=Temperature_Celsius,serial=S1,type=sat,wwn=5000c5024cb016ea \
             value=63i,worst=55i,threshold=0i,raw_value=154621640741i {time}"
        ),
        format!(
            "smart_device,device=nvme0,host=h,model=FAST\\ 1,serial_no=N1 exit_status=0i,health_ok=true,temp_c=40i,\
             power_on_hours=9i,power_cycle_count=8i,available_spare=100i,available_spare_threshold=10i,percentage_used=3i,\
             critical_warning=0i,media_errors=0i,error_log_entries=11i,unsafe_shutdowns=2i,warning_temperature_time=0i,\
             critical_temperature_time=0i {time}"
        ),
        format!(
            "smart_device,device=0,device_type=megaraid\\,1,host=h,model=MADE\\ UP,serial_no=C1 \
             exit_status=0i,health_ok=true,temp_c=30i {time}"
        ),
        format!(
            "smartctl_scsi_error_counter_log,host=h,model=MADE\\ UP,name=/dev/bus/0,page=read,serial=C1,type=megaraid\\,1 \
             errors_corrected_by_eccfast=1i,errors_corrected_by_eccdelayed=2i,errors_corrected_by_rereads_rewrites=3i,\
             total_errors_corrected=6i,correction_algorithm_invocations=7i,total_uncorrected_errors=1i,\
             gigabytes_processed=\"1.5\" {time}"
        ),
    ];
    let lines = folder.path().join("lines");
    for line in &expected {
        wait_until(line, || {
            let text = fs::read_to_string(&lines).unwrap_or_default();
            text.lines().any(|found| found == line).then_some(())
        });
    }
}

#[test]
fn a_disk_in_standby_keeps_its_values_and_one_that_hangs_costs_itself() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path());
    fs::write(folder.path().join("hang_dev_sdb"), "").unwrap();
    let settings = "path = 'DIR/smartctl'\ninterval = '100ms'\ntimeout = '500ms'\ndevices = ['/dev/sdb', '/dev/sda']\n";
    let taffrail = start(folder.path(), settings);
    wait_for(&taffrail, "taffrail_smart_asleep{device=\"sda\"}", 0.0);
    fs::write(folder.path().join("standby"), STANDBY).unwrap();
    fs::rename(folder.path().join("standby"), folder.path().join("_dev_sda")).unwrap();
    wait_for(&taffrail, "taffrail_smart_asleep{device=\"sda\"}", 1.0);
    wait_for(&taffrail, "taffrail_smart_success{device=\"sdb\"}", 0.0);
    let page = taffrail.get("/metrics");
    for (series, value) in [
        ("taffrail_smart_success{device=\"sda\"}", 1.0),
        ("smartctl_device_smartctl_exit_status{device=\"sda\"}", 24.0),
        ("smartctl_device_power_cycle_count{device=\"sda\"}", 42.0),
    ] {
        assert_eq!(page.sample(series), Some(value), "{series}: {}", page.text());
    }
    wait_for_problem(&taffrail, "sdb: not ended within timeout = 500ms, and killed");
    fs::remove_file(folder.path().join("hang_dev_sdb")).unwrap();
    fs::write(folder.path().join("_dev_sdb"), ATA.replace("/dev/sda", "/dev/sdb")).unwrap();
    wait_for(&taffrail, "taffrail_smart_success{device=\"sdb\"}", 1.0);
}

/// The command of the unit, as systemd gives it to the shell.
fn command_of_the_unit() -> String {
    let unit = include_str!("../../packaging/deb/examples/taffrail-smart.service");
    let command = unit.split_once("ExecStart=/bin/sh -c '").unwrap().1.split_once("'\n").unwrap().0;
    command.replace("\\\n", " ").replace("\\\\", "\\").replace("$$", "$")
}

#[test]
fn files_that_a_timer_of_root_writes_are_read_without_any_right() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path());
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    // The time of a disk is over if there is this file.
    let late = folder.path().join("late_dev_sda");
    let timeout = folder.path().join("timeout");
    let script =
        format!("#!/bin/sh\nshift 2\ncase $* in *sda*) [ ! -e {} ] || exit 124;; esac\nexec \"$@\"\n", late.display());
    fs::write(&timeout, script).unwrap();
    fs::set_permissions(&timeout, fs::Permissions::from_mode(0o755)).unwrap();
    let command = || {
        let mut command = Command::new("sh");
        command.arg("-c").arg(command_of_the_unit()).env("PATH", &path).current_dir(&state).process_group(0);
        command
    };
    let write = || assert!(command().status().unwrap().success());
    // A disk that hangs delays no other.
    fs::write(folder.path().join("hang_dev_sda"), "").unwrap();
    let mut hanging = command().spawn().unwrap();
    let others = ["_dev_bus_0_megaraid_1.json", "_dev_nvme0_nvme.json", "_dev_sdb_scsi.json"];
    wait_until("the other disks", || others.iter().all(|name| state.join(name).exists()).then_some(()));
    assert!(hanging.try_wait().unwrap().is_none());
    kill_process_group(Pid::from_raw(hanging.id() as i32).unwrap(), Signal::KILL).unwrap();
    hanging.wait().unwrap();
    fs::remove_file(folder.path().join("hang_dev_sda")).unwrap();
    write();
    let mut names: Vec<String> =
        fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        ["_dev_bus_0_megaraid_1.json", "_dev_nvme0_nvme.json", "_dev_sda_scsi.json", "_dev_sdb_scsi.json"]
    );
    // A disk whose time is over keeps its last file.
    fs::write(&late, "").unwrap();
    fs::write(folder.path().join("_dev_sda"), STANDBY).unwrap();
    write();
    assert_eq!(fs::read_to_string(state.join("_dev_sda_scsi.json")).unwrap(), ATA);
    fs::write(folder.path().join("_dev_sda"), ATA).unwrap();
    fs::remove_file(&late).unwrap();
    fs::write(state.join("odd.json"), "{\"smartctl\":").unwrap();
    let taffrail = start(folder.path(), "files = ['DIR/state/*.json']\ninterval = '100ms'\n");
    wait_for(&taffrail, "smartctl_device_smartctl_exit_status{device=\"sda\"}", 24.0);
    wait_for(&taffrail, "smartctl_device_smart_status{device=\"bus_0_megaraid_1\"}", 1.0);
    wait_for_problem(&taffrail, "odd.json: expected JSON of smartctl: ");
    fs::write(folder.path().join("_dev_sda"), STANDBY).unwrap();
    write();
    wait_for(&taffrail, "taffrail_smart_asleep{device=\"sda\"}", 1.0);
    assert_eq!(taffrail.get("/metrics").sample("smartctl_device_smart_status{device=\"sda\"}"), Some(0.0));
    fs::remove_file(state.join("_dev_sda_scsi.json")).unwrap();
    let series = "taffrail_smart_asleep{device=\"sda\"}";
    wait_until("its end", || taffrail.get("/metrics").sample(series).is_none().then_some(()));
}

#[test]
fn a_smartctl_that_is_not_there_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let taffrail = start(folder.path(), "path = 'DIR/none'\nrescan_interval = '100ms'\n");
    wait_for_problem(&taffrail, "scan: not started: ");
    stand_in(folder.path());
    fs::rename(folder.path().join("smartctl"), folder.path().join("none")).unwrap();
    wait_for(&taffrail, "smartctl_devices", 4.0);
}

#[test]
fn mistakes_are_found_by_check() {
    let (_folder, path) = config_file(
        "[[collectors.smart]]\ndevices = ['sda', '/dev/sda -d -x']\nnocheck = 'now'\nmeasurements = ['smart']\n\
         [[collectors.smart]]\nfiles = ['a', '/a/**/b']\ndevices = ['/dev/sda']\n",
    );
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    for error in [
        "expected a device such as \"/dev/sda\" or \"/dev/bus/0 -d megaraid,1\", found \"sda\"",
        "found \"/dev/sda -d -x\"",
        "expected one of never, sleep, standby, idle, found \"now\"",
        "expected smart_device, smart_attribute or smartctl, found \"smart\"",
        "expected either this or devices, found both",
        "expected a path from the root, found \"a\"",
        "** is not supported",
    ] {
        assert!(errors.contains(error), "{error}: {errors}");
    }
}
