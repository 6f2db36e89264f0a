//! Packs the tree of a recorded host into an archive, and unpacks it: see tests/hosts/README.md.
//!
//! `host_tree pack FOLDER >host.tree` prints the archive; `host_tree unpack host.tree FOLDER` makes the folder, which must
//! not be there yet.

#[path = "../tests/common/archive.rs"]
#[allow(dead_code, unreachable_pub)]
mod archive;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use archive::Tree;

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [command, folder] if command == "pack" => {
            Tree::pack(Path::new(folder)).and_then(|tree| std::io::stdout().write_all(tree.to_string().as_bytes()))
        }
        [command, archive, folder] if command == "unpack" => {
            Tree::read(Path::new(archive)).and_then(|tree| tree.unpack(Path::new(folder)))
        }
        _ => {
            eprintln!("usage: host_tree pack FOLDER >ARCHIVE\n       host_tree unpack ARCHIVE FOLDER");
            std::process::exit(2);
        }
    };
    if let Err(error) = done {
        eprintln!("host_tree: {error}");
        std::process::exit(1);
    }
}
