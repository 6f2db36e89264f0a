//! Documentation of names in constant tables, assembled at compile time.

/// The `info()` of each item of a constant array, `infos!(LOADS)`, or of one part of each: `infos!(COLUMNS.0)`.
macro_rules! infos {
    ($items:ident $(. $part:tt)?) => {{
        let mut infos = [$items[0]$(.$part)?.info(); $items.len()];
        let mut index = 1;
        while index < $items.len() {
            infos[index] = $items[index]$(.$part)?.info();
            index += 1;
        }
        infos
    }};
}

pub(crate) use infos;

/// Concatenates all `lists`. `LENGTH` is the total number of items.
pub(crate) const fn concat<T: Copy, const LENGTH: usize>(lists: &[&[T]]) -> [T; LENGTH] {
    let mut all = [lists[0][0]; LENGTH];
    let (mut list, mut length) = (0, 0);
    while list < lists.len() {
        let mut item = 0;
        while item < lists[list].len() {
            all[length] = lists[list][item];
            (item, length) = (item + 1, length + 1);
        }
        list += 1;
    }
    assert!(length == LENGTH, "the lists do not have this many items together");
    all
}
