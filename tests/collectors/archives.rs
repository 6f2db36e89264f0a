//! Archives of trees of files, such as those of recorded hosts: whatever is packed is unpacked the same, and nothing that an
//! archive says lands outside of its folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use crate::harness::recorded;
use crate::harness::recorded::archive::{Entry, Tree};
use proptest::prelude::*;

/// Bytes with much of what archives treat specially.
fn odd_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(vec![
        &b"\\"[..],
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b" ",
        b" -> ",
        b"|",
        b":",
        b"x",
        b"\\x2d",
        b"n",
        b"\xff",
        b"\xc3",
        b"\x85",
        "ü".as_bytes(),
        "\u{85}".as_bytes(),
        "\u{202e}".as_bytes(),
        b"\x1b",
        b"file a",
        b"\r\n",
        b"line of text\n",
    ]);
    prop_oneof![
        prop::collection::vec(special, 0..most).prop_map(|parts| parts.concat()),
        prop::collection::vec(any::<u8>(), 0..most),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    odd_bytes(6).prop_map(|mut name| {
        name.retain(|byte| !matches!(byte, b'/' | 0));
        if matches!(&name[..], b"" | b"." | b"..") { b"name".to_vec() } else { name }
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let target = odd_bytes(6).prop_map(|mut target| {
        target.retain(|byte| *byte != 0);
        Entry::Link(path(if target.is_empty() { b"/dangling".to_vec() } else { target }))
    });
    prop_oneof![4 => odd_bytes(40).prop_map(Entry::File), 1 => target, 1 => Just(Entry::Folder)]
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// A tree of which no entry is below another.
fn tree() -> impl Strategy<Value = Tree> {
    let paths = prop::collection::vec(name(), 1..4).prop_map(|names| path(names.join(&b'/')));
    prop::collection::vec((paths, entry()), 0..8).prop_map(|entries| {
        let mut tree = Tree::default();
        // What cannot be beside the others is left out.
        entries.into_iter().for_each(|(path, entry)| drop(tree.add(path, entry)));
        tree
    })
}

/// What is in the archive, in the folder that it makes, and in an archive of that.
fn survives(tree: &Tree) -> Result<(), TestCaseError> {
    let text = tree.to_string();
    prop_assert_eq!(&Tree::parse(&text).unwrap(), tree, "{}", text);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    tree.unpack(&root).unwrap();
    let packed = Tree::pack(&root).unwrap();
    prop_assert_eq!(&packed, tree);
    prop_assert_eq!(packed.to_string(), text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_packed_is_unpacked_the_same(tree in tree()) {
        survives(&tree)?;
    }

    #[test]
    fn whatever_an_archive_says_nothing_panics(lines in prop::collection::vec("(file|link|folder|[|]|\\\\|) ?[a/.>\\\\x0-9 -]{0,12}", 0..12)) {
        let text = format!("taffrail-tree 1\n{}\n", lines.join("\n"));
        if let Ok(tree) = Tree::parse(&text) {
            prop_assert_eq!(Tree::parse(&tree.to_string()).unwrap(), tree);
        }
    }
}

#[test]
fn odd_files_survive() {
    let file = |content: &[u8]| Entry::File(content.to_vec());
    let link = |target: &str| Entry::Link(target.into());
    let entries: [(&[u8], Entry); 16] = [
        (b"empty", file(b"")),
        (b"only-a-line-feed", file(b"\n")),
        (b"no-line-feed-at-the-end", file(b"1\n2")),
        (b"carriage\r", file(b"1\r\n2\r")),
        (b"not-utf-8-\xff", file(b"a\xff\n\xc3\nb\n")),
        (b"zeros", file(&[0; 1000])),
        (b"large", file(&b"0123456789abcdef 0123456789abcdef\n".repeat(100_000))),
        (b"large-in-one-line", file(&b"0123456789".repeat(100_000))),
        (b"like-an-archive", file(b"file proc/stat\n|1\n\\2\nlink a -> b\n")),
        (b"docker:cri/a:b", file(b"1\n")),
        (b"a new\nline/in a\\name", file(b"1\n")),
        (b"an arrow -> in a name", link("an arrow -> in a target")),
        (b"dangling", link("../../nowhere/at all")),
        (b"absolute", link("/etc/passwd")),
        (b"with\nline", link("a\nb")),
        (b"empty-folder/in another", Entry::Folder),
    ];
    let mut tree = Tree::default();
    for (name, entry) in entries {
        tree.add(path(name.to_vec()), entry).unwrap();
    }
    survives(&tree).unwrap();
    survives(&Tree::default()).unwrap();
}

#[test]
fn a_change_of_a_counter_changes_its_line_alone() {
    let archive = |count: &str| {
        let mut tree = Tree::default();
        let content = format!("cpu 1 2 3\nctxt {count}\nbtime 1700000000\n");
        tree.add("proc/stat".into(), Entry::File(content.into_bytes())).unwrap();
        tree.add("sys/state".into(), Entry::File(b"up\n".to_vec())).unwrap();
        tree.to_string()
    };
    let (before, after) = (archive("9"), archive("10"));
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(old, new)| old != new).collect();
    assert_eq!(changed, [("|ctxt 9", "|ctxt 10")]);
    assert_eq!(
        before,
        "taffrail-tree 1\nfile proc/stat\n|cpu 1 2 3\n|ctxt 9\n|btime 1700000000\nfile sys/state\n|up\n"
    );
}

#[test]
fn an_archive_that_leads_out_of_its_folder_or_is_wrong_is_refused() {
    let wrong = [
        ("file /etc/passwd\n|x", "line 2: \"/etc/passwd\" is no path below the root"),
        ("file ../x", "line 2: \"../x\" is no path below the root"),
        ("file a/../../x", "line 2: \"a/../../x\" is no path below the root"),
        ("file a/\\x2e./x", "line 2: \"a/../x\" is no path below the root"),
        ("file a//b", "line 2: \"a//b\" is no path below the root"),
        ("folder .", "line 2: \".\" is no path below the root"),
        ("folder a/", "line 2: \"a/\" is no path below the root"),
        ("file ", "line 2: \"\" is no path below the root"),
        ("file a\\0b", "line 2: \"a\\0b\" is no path below the root"),
        ("link a -> ", "line 2: \"a\" leads to \"\", which is no path"),
        ("link a -> b\\0", "line 2: \"a\" leads to \"b\\0\", which is no path"),
        ("link a -> /etc\nfile a/passwd\n|x", "line 3: \"a/passwd\" cannot be beside the entry \"a\""),
        ("file a/passwd\n|x\nlink a -> /etc", "line 4: \"a\" cannot be beside the entry \"a/passwd\""),
        ("file a\nfile b\nfile a", "line 4: \"a\" cannot be beside the entry \"a\""),
        ("folder a\nfile a/b", "line 3: \"a/b\" cannot be beside the entry \"a\""),
        ("link a", "line 2: a link is \"link PATH -> TARGET\""),
        ("link a -> b\n|x", "line 2: only files hold something"),
        ("pipe a", "line 2: \"pipe a\" is neither \"file\", \"folder\" nor \"link\" with a path, nor part of a file"),
        ("|x", "line 2: \"|x\" is neither \"file\", \"folder\" nor \"link\" with a path, nor part of a file"),
        ("file a\n\\\\", "line 3: \"\\\" begins with no escape"),
        ("file a\n\\\\x4", "line 3: \"\\x4\" begins with no escape"),
        ("file a\n\\\\x+1", "line 3: \"\\x+1\" begins with no escape"),
        ("file a\n\\\\q", "line 3: \"\\q\" begins with no escape"),
    ];
    for (text, problem) in wrong {
        assert_eq!(Tree::parse(&format!("taffrail-tree 1\n{text}\n")), Err(problem.to_owned()), "{text}");
    }
    let header = "line 1: an archive begins with the line \"taffrail-tree 1\"";
    for text in ["", "file a\n", "taffrail-tree 2\n", "taffrail-tree 1\r\nfile a\r\n"] {
        assert_eq!(Tree::parse(text), Err(header.to_owned()), "{text}");
    }
    assert_eq!(Tree::parse("taffrail-tree 1\nfile a\n|1"), Err("the last line is cut off".to_owned()));
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let reported =
        |done: std::io::Result<()>| done.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "F");
    let archive = folder.path().join("after.tree");
    assert_eq!(reported(Tree::read(&archive).map(drop)), "F/after.tree: No such file or directory (os error 2)");
    fs::write(&archive, "taffrail-tree 1\nfile /x\n").unwrap();
    assert_eq!(reported(Tree::read(&archive).map(drop)), "F/after.tree: line 2: \"/x\" is no path below the root");
    // A folder that is there may have links that lead elsewhere.
    assert_eq!(reported(Tree::default().unpack(folder.path())), "F: File exists (os error 17)");
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    assert_eq!(reported(Tree::pack(folder.path()).map(drop)), "F/socket: is neither a file nor a folder nor a link");
}

/// A recorded host in a folder of its own.
fn small_host(folder: &Path, load: &str) -> PathBuf {
    let host = folder.join("small");
    fs::create_dir_all(&host).unwrap();
    let files: BTreeMap<String, Entry> =
        (0..200).map(|number| (format!("after/proc/{number}/stat"), Entry::File(load.as_bytes().to_vec()))).collect();
    let mut tree = Tree::default();
    files.into_iter().for_each(|(path, entry)| tree.add(path.into(), entry).unwrap());
    fs::write(host.join(recorded::ARCHIVE), tree.to_string()).unwrap();
    host
}

#[test]
fn those_who_unpack_a_host_at_once_all_see_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (host, cache) = (small_host(folder.path(), "1\n"), folder.path().join("cache"));
    // What one that was killed has left.
    fs::create_dir_all(cache.join(".tmpkilled/trees/after/proc")).unwrap();
    let count = || {
        let seen = recorded::unpacked_in(&cache, &host);
        (fs::read_dir(seen.join("after/proc")).unwrap().count(), seen)
    };
    let seen: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|(files, at)| *files == 200 && *at == seen[0].1), "{seen:?}");
    assert!(!seen[0].1.join("before").exists());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2, "only what was killed is left beside it");
}

#[test]
fn an_archive_that_changed_is_unpacked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let load = |load| {
        let host = small_host(folder.path(), load);
        fs::read_to_string(recorded::unpacked_in(&cache, &host).join("after/proc/7/stat")).unwrap()
    };
    assert_eq!(load("1\n"), "1\n");
    assert_eq!(load("2\n"), "2\n");
    assert_eq!(load("1\n"), "1\n");
    // A host that is another with other settings has a link to its archive.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    symlink("../small/host.tree", other.join("host.tree")).unwrap();
    assert_eq!(fs::read_to_string(recorded::unpacked_in(&cache, &other).join("after/proc/7/stat")).unwrap(), "1\n");
}

/// What is unpacked is shared by all tests, and kept for the next run.
#[test]
fn no_test_has_changed_what_is_unpacked() {
    for host in recorded::hosts() {
        let unpacked = recorded::unpacked(&host);
        let is_the_same = Tree::pack(&unpacked).unwrap() == Tree::read(&host.join(recorded::ARCHIVE)).unwrap();
        assert!(is_the_same, "{} was changed: a test must copy it; remove it", unpacked.display());
    }
    assert!(Tree::pack(&recorded::small_hosts()).unwrap() == Tree::read(&recorded::small_archive()).unwrap());
}

/// So that a change by hand and one by `host_tree` differ in what was changed, and in nothing else.
#[test]
fn the_archives_of_hosts_are_as_they_would_be_packed() {
    let mut archives: Vec<PathBuf> = recorded::hosts().iter().map(|host| host.join(recorded::ARCHIVE)).collect();
    archives.extend([recorded::small_archive(), recorded::folder().join("problems.tree")]);
    for archive in &archives {
        let tree = Tree::read(archive).unwrap();
        assert!(tree.to_string() == fs::read_to_string(archive).unwrap(), "{}: pack it anew", archive.display());
    }
    assert!(archives.len() >= 20, "{}", archives.len());
}
