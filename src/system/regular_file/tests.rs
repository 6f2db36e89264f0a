use std::fs;
use std::io::Write;

use super::*;

const KIB: u64 = 1 << 10;

fn refusal(path: &Path, max_bytes: u64) -> String {
    let refused = read_regular(path, max_bytes).unwrap_err();
    assert_eq!(refused.path, path);
    refused.reason.to_string()
}

#[test]
fn a_regular_file_is_read_whole_up_to_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for size in [0, 1, KIB - 1, KIB] {
        fs::write(&path, vec![b'x'; size as usize]).unwrap();
        assert_eq!(read_regular(&path, KIB).unwrap().len() as u64, size);
    }
    fs::write(&path, vec![b'x'; KIB as usize + 1]).unwrap();
    assert_eq!(refusal(&path, KIB), "expected at most 1 KiB, found more");
    let message = read_regular(&path, KIB).unwrap_err().to_string();
    assert_eq!(message, format!("{}: expected at most 1 KiB, found more", path.display()));
    fs::remove_file(&path).unwrap();
    assert!(read_regular(&path, KIB).unwrap_err().reason.is_absence());
}

#[test]
fn a_file_that_claims_more_than_it_may_hold_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let sparse = File::create(&path).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert_eq!(refusal(&path, 64 << 20), "expected at most 64 MiB, found more");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_up_to_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let opened = File::open(&path).unwrap();
    let claimed = opened.metadata().unwrap().len();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&vec![b'x'; 4096]).unwrap();
    assert!(matches!(up_to(opened, claimed, KIB), Err(ReadFailure::TooLarge(KIB))));
    let opened = File::open(&path).unwrap();
    assert_eq!(up_to(opened, claimed, 8 * KIB).unwrap().len(), 4097);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernels_files_claim_to_be_empty_and_are_read() {
    assert!(!read_regular(Path::new("/proc/self/stat"), KIB * 64).unwrap().is_empty());
    assert_eq!(refusal(Path::new("/proc/self/stat"), 10), "expected at most 10 bytes, found more");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_told_by_its_kind_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let zero = folder.path().join("zero");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases = [
        (fifo.as_path(), "a FIFO"),
        (&zero, "a character device"),
        (Path::new("/dev/tty"), "a character device"),
        (&socket, "a socket"),
        (folder.path(), "a directory"),
    ];
    for (path, kind) in cases {
        let expected = format!("expected a regular file, found {kind}");
        assert_eq!(refusal(path, KIB), expected, "{}", path.display());
        let within = read_regular_within(path, KIB, READ_TIMEOUT).unwrap_err();
        assert_eq!(within.reason.to_string(), expected);
    }
}

#[test]
fn text_is_what_is_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "Grüße").unwrap();
    assert_eq!(read_text_within(&path, KIB, READ_TIMEOUT).unwrap(), "Grüße");
    fs::write(&path, b"Gr\xfc\xdfe").unwrap();
    assert!(matches!(read_text_within(&path, KIB, READ_TIMEOUT).unwrap_err().reason, ReadFailure::NotText));
}

#[cfg(target_os = "linux")]
#[test]
fn what_would_have_to_be_waited_at_has_no_lease() {
    use std::os::fd::OwnedFd;
    // Behaves like `/proc/kmsg`, which looks like a regular file.
    let (reader, _writer) = std::io::pipe().unwrap();
    let reader = OwnedFd::from(reader);
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
    let refused = up_to(File::from(reader), 0, KIB).unwrap_err();
    assert_eq!(refused.to_string(), "expected a file that holds something, found one to wait at until it does");
}
