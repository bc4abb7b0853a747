//! Damaged files are noticed, wherever the damage is.

use super::*;
use crate::spill::SpillError;
use std::os::unix::fs::FileExt;

/// Changes one byte after another and reads. What is read is what was written, or an error says that it is damaged.
fn every_region_is_covered(content: &Content, compression: Compression, step: usize) {
    let scratch = Scratch::new("damage");
    let folder = scratch.open(options(compression));
    let spilled = folder.write(task(1), content).expect("there is room");
    let (name, len) = files(&scratch.folder()).pop().expect("there is one file");
    let file =
        std::fs::OpenOptions::new().read(true).write(true).open(scratch.folder().join(name)).expect("it is ours");
    let mut noticed = 0;
    let mut byte = [0];
    for offset in (0..len).step_by(step) {
        file.read_exact_at(&mut byte, offset).expect("it is that long");
        file.write_all_at(&[byte[0] ^ 0x10], offset).expect("it is ours");
        match folder.read(&spilled) {
            Ok(read) => assert!(is_same(content, &read), "damage at {offset} went unnoticed"),
            Err(SpillError::Damaged { .. }) => noticed += 1,
            Err(other) => panic!("{other}"),
        }
        for (index, part) in content.payloads().iter().enumerate().filter(|_| content.parts().is_some()) {
            match folder.read_part(&spilled, index as u32) {
                Ok(read) => assert_eq!(segments(&read), segments(part), "damage at {offset} went unnoticed"),
                Err(SpillError::Damaged { .. }) => noticed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        file.write_all_at(&byte, offset).expect("it is ours");
    }
    assert!(is_same(content, &folder.read(&spilled).expect("it is intact again")));
    assert!(noticed > 0);
    assert!(folder.stats().damaged > 0);
}

#[test]
fn in_a_packed_value() {
    every_region_is_covered(&whole(&[noise(1, 150), noise(2, 700)]), Compression::Never, 1);
}

#[test]
fn in_the_header_of_a_value_with_parts() {
    let parts = (0..3).map(|seed| payload(&[noise(seed, 100), noise(seed + 9, 200)])).collect();
    every_region_is_covered(&Content::Parts(parts), Compression::Never, 1);
}

#[test]
fn in_a_large_value() {
    every_region_is_covered(&whole(&[noise(1, 150), noise(2, 300_000)]), Compression::Never, 251);
}

#[test]
fn in_compressed_values() {
    let compressible = Bytes::from(noise(3, 1000).repeat(300));
    every_region_is_covered(&whole(&[noise(1, 150), compressible.clone()]), Compression::Always, 61);
    let parts = vec![payload(std::slice::from_ref(&compressible)), payload(&[noise(1, 70_000)])];
    every_region_is_covered(&Content::Parts(parts.into()), Compression::Always, 509);
}

#[test]
fn a_file_that_is_too_short_or_missing_is_damaged() {
    let scratch = Scratch::new("short");
    let folder = scratch.open(options(Compression::Never));
    let parts = Content::Parts(vec![payload(&[noise(1, 200_000)]), payload(&[noise(2, 10)])].into());
    let spilled = folder.write(task(1), &parts).expect("there is room");
    let (name, len) = files(&scratch.folder()).pop().expect("there is one file");
    let path = scratch.folder().join(name);
    for cut in [len - 1, len / 2, 4096, 100, 0] {
        std::fs::OpenOptions::new().write(true).open(&path).expect("it is ours").set_len(cut).expect("it is ours");
        let error = folder.read(&spilled).expect_err("it is too short");
        assert!(error.to_string().contains(path.to_str().expect("plain names")), "{error}");
        assert!(matches!(error, SpillError::Damaged { .. }));
        assert!(matches!(folder.read_part(&spilled, 1), Err(SpillError::Damaged { .. })));
    }
    std::fs::remove_file(&path).expect("it is there");
    assert!(matches!(folder.read(&spilled), Err(SpillError::Damaged { .. })));
}

#[test]
fn the_file_of_another_value_is_not_mistaken_for_it() {
    let scratch = Scratch::new("swapped");
    let folder = scratch.open(options(Compression::Never));
    let one = folder.write(task(1), &whole(&[noise(1, 100_000)])).expect("there is room");
    let two = folder.write(task(2), &whole(&[noise(2, 100_000)])).expect("there is room");
    let names: Vec<_> = files(&scratch.folder()).into_iter().map(|(name, _)| scratch.folder().join(name)).collect();
    std::fs::rename(&names[0], &names[1]).expect("they are ours");
    assert!(matches!(folder.read(&one), Err(SpillError::Damaged { .. })));
    assert!(matches!(folder.read(&two), Err(SpillError::Damaged { .. })));
}

#[test]
fn a_folder_that_is_removed_is_made_again() {
    let scratch = Scratch::new("removed");
    let above = scratch.0.join("above");
    let place = above.join("spill");
    let folder = SpillDir::open(&place, PLACE, SCHEDULER, options(Compression::Never)).expect("it can be used");
    let (large, small) = (whole(&[noise(1, 300_000)]), whole(&[noise(2, 500)]));
    let lost: Vec<_> = [&large, &small].map(|content| folder.write(task(1), content).expect("there is room")).into();
    let read_before = folder.read(&lost[0]).expect("it is there");
    std::fs::remove_dir_all(&above).expect("it is ours");
    let kept: Vec<_> = [&large, &small].map(|content| folder.write(task(2), content).expect("there is room")).into();
    for spilled in &lost {
        assert!(matches!(folder.read(spilled), Err(SpillError::Gone { .. })), "it went with the folder");
    }
    folder.remove_many(lost.iter().map(|spilled| &**spilled));
    assert!(is_same(&read_before, &large), "what was read stays");
    for (spilled, content) in kept.iter().zip([&large, &small]) {
        assert!(is_same(&folder.read(spilled).expect("it is there"), content));
    }
    let stats = folder.stats();
    assert_eq!((stats.values, stats.files), (2, 2));
    assert_eq!(stats.bytes, files(&place).iter().map(|(_, len)| len).sum::<u64>());
    drop(folder);
    let (_, adopted) = SpillDir::adopt(&place, PLACE, SCHEDULER, options(Compression::Never)).expect("it can be used");
    assert_eq!(adopted.len(), 1, "the newest value of the task");
    folder_is_private(&above);
}

fn folder_is_private(folder: &Path) {
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(folder).expect("there").mode() & 0o777, 0o700);
}
