//! What is written comes back.

use super::*;
use crate::spill::SpillError;
use proptest::prelude::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

/// Sizes around everything that the format treats differently.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..300_usize,
        2 => 4090..4100_usize,
        2 => (64 << 10) - 3..(64 << 10) + 3_usize,
        1 => 100_000..400_000_usize,
        1 => (1 << 20) - 2..(1 << 20) + 2_usize,
        1 => (5 << 18) - 9000..(5 << 18) + 10_usize,
        1 => Just((9 << 20) + 4097),
    ]
}

fn segment() -> impl Strategy<Value = Bytes> {
    // Noise, a repetition, and a slice that starts in the middle of a page.
    (size(), any::<u64>(), 0..3_u8).prop_map(|(len, seed, kind)| match kind {
        0 => noise(seed, len),
        1 => Bytes::from(vec![seed as u8; len]),
        _ => noise(seed, len + 1).slice(1..),
    })
}

fn content() -> impl Strategy<Value = Content> {
    let payload = || proptest::collection::vec(segment(), 1..5).prop_map(|segments| payload(&segments));
    prop_oneof![
        3 => payload().prop_map(Content::Whole),
        1 => proptest::collection::vec(payload(), 0..5).prop_map(|parts| Content::Parts(parts.into())),
    ]
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::Auto), Just(Compression::Never), Just(Compression::Always)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_value_comes_back(contents in proptest::collection::vec(content(), 1..4), compression in compression()) {
        let scratch = Scratch::new("round-trip");
        let folder = scratch.open(options(compression));
        let values: Vec<_> = contents.into_iter().enumerate().map(|(slot, c)| (task(slot as u32), c)).collect();
        let written: Vec<_> = folder.write_many(&values).into_iter().map(|result| result.expect("there is room")).collect();
        for ((id, content), spilled) in values.iter().zip(&written) {
            prop_assert_eq!((spilled.task(), spilled.nbytes()), (*id, content.nbytes()));
            prop_assert!(is_same(content, &folder.read(spilled).expect("it is intact")));
            for (index, part) in content.payloads().iter().enumerate() {
                match folder.read_part(spilled, index as u32) {
                    Ok(read) => prop_assert_eq!(segments(&read), segments(part)),
                    Err(error) => prop_assert!(content.parts().is_none(), "{}", error),
                }
            }
            let beyond = folder.read_part(spilled, content.parts().unwrap_or(0)).expect_err("there are no more parts");
            prop_assert!(beyond.to_string().contains("was asked for; it has"), "{}", beyond);
        }
        prop_assert!(folder.stats().bytes >= files(&scratch.folder()).iter().map(|(_, len)| len).sum::<u64>());
        folder.remove_many(written.iter().map(|spilled| &**spilled));
        prop_assert_eq!(files(&scratch.folder()), []);
        let stats = folder.stats();
        prop_assert_eq!((stats.bytes, stats.values, stats.files), (0, 0, 0));
    }
}

#[test]
fn many_small_values_share_files() {
    let scratch = Scratch::new("small");
    let folder = scratch.open(options(Compression::Auto));
    let values: Vec<_> = (0..100_000).map(|slot| (task(slot), whole(&[noise(slot.into(), 200)]))).collect();
    let written: Vec<_> = folder.write_many(&values).into_iter().map(|result| result.expect("there is room")).collect();
    assert!(files(&scratch.folder()).len() < 4, "{:?}", files(&scratch.folder()));
    for ((_, content), spilled) in values.iter().zip(&written).step_by(997) {
        assert!(is_same(content, &folder.read(spilled).expect("it is intact")));
    }
    folder.remove_many(written.iter().map(|spilled| &**spilled));
    assert_eq!(files(&scratch.folder()), []);
}

/// The values that are left in a pack which is mostly dead move, and can be read before, during and after that.
#[test]
fn packs_that_are_mostly_dead_are_emptied() {
    let scratch = Scratch::new("packs");
    let folder = scratch.open(options(Compression::Never));
    let values: Vec<_> = (0..6_000).map(|slot| (task(slot), whole(&[noise(slot.into(), 30_000)]))).collect();
    let written: Vec<_> = folder.write_many(&values).into_iter().map(|result| result.expect("there is room")).collect();
    let before = folder.stats();
    assert!(before.files >= 3, "{before:?}");
    let is_kept = |index: usize| index.is_multiple_of(8);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (index, (_, content)) in values.iter().enumerate().filter(|(index, _)| is_kept(*index)) {
                assert!(is_same(content, &folder.read(&written[index]).expect("it is intact")));
            }
        });
        let gone: Vec<_> = (0..written.len()).filter(|index| !is_kept(*index)).collect();
        gone.chunks(100).for_each(|gone| folder.remove_many(gone.iter().map(|index| &*written[*index])));
    });
    let after = folder.stats();
    assert!(after.bytes < before.bytes / 2, "{before:?} {after:?}");
    let on_disk: u64 = files(&scratch.folder()).iter().map(|(_, len)| len).sum();
    assert_eq!(after.bytes, on_disk);
    for (index, (_, content)) in values.iter().enumerate().filter(|(index, _)| is_kept(*index)) {
        assert!(is_same(content, &folder.read(&written[index]).expect("it is intact")));
    }
}

#[test]
fn what_was_read_outlives_the_file() {
    let scratch = Scratch::new("outlives");
    let folder = scratch.open(options(Compression::Never));
    let buffer = noise(5, 3 << 20);
    let spilled = folder.write(task(1), &whole(&[noise(1, 100), buffer.clone()])).expect("there is room");
    let read = folder.read(&spilled).expect("it is intact");
    folder.remove(&spilled);
    assert!(matches!(folder.read(&spilled), Err(SpillError::Gone { .. })));
    folder.destroy().expect("the folder is ours");
    assert_eq!(segments(&read.payloads()[0])[1], buffer);
}

#[test]
fn large_buffers_start_at_a_page() {
    let scratch = Scratch::new("aligned");
    let folder = scratch.open(options(Compression::Never));
    let content = whole(&[noise(1, 77), noise(2, 100_000), noise(3, 65_536), noise(4, 10)]);
    let spilled = folder.write(task(1), &content).expect("there is room");
    let read = segments(&folder.read(&spilled).expect("it is intact").payloads()[0]);
    assert_eq!(read[1].as_ptr().addr() % 4096, 0);
    assert_eq!(read[2].as_ptr().addr() % 4096, 0);
    assert_eq!(read[3].as_ptr().addr() % 64, 0);
}

#[test]
fn only_the_owner_may_look_into_the_folder() {
    let scratch = Scratch::new("private");
    let folder = scratch.open(options(Compression::Auto));
    folder.write(task(1), &whole(&[noise(1, 100_000)])).expect("there is room");
    folder.write(task(2), &whole(&[noise(1, 100)])).expect("there is room");
    assert_eq!(std::fs::metadata(scratch.folder()).expect("there").mode() & 0o777, 0o700);
    for (name, _) in files(&scratch.folder()) {
        assert_eq!(std::fs::metadata(scratch.folder().join(name)).expect("there").mode() & 0o777, 0o600);
    }
}

#[test]
fn folders_that_others_control_are_refused() {
    let scratch = Scratch::new("refused");
    let try_open = || SpillDir::open(&scratch.folder(), PLACE, SCHEDULER, options(Compression::Auto));
    std::fs::create_dir(scratch.folder()).expect("it can be made");
    std::fs::set_permissions(scratch.folder(), PermissionsExt::from_mode(0o770)).expect("it is ours");
    assert!(matches!(try_open(), Err(SpillError::Insecure { .. })));
    std::fs::remove_dir(scratch.folder()).expect("it is empty");
    let elsewhere = scratch.0.join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("it can be made");
    std::os::unix::fs::symlink(&elsewhere, scratch.folder()).expect("it can be made");
    assert!(matches!(try_open(), Err(SpillError::Insecure { .. })));
    assert_eq!(std::fs::read_dir(&elsewhere).expect("there").count(), 0);
    std::fs::remove_file(scratch.folder()).expect("it is a link");
    std::fs::write(scratch.folder(), "").expect("it can be made");
    assert!(matches!(try_open(), Err(SpillError::Insecure { .. })));
}

/// A link in the place of a value's file is not followed.
#[test]
fn links_in_the_folder_are_not_followed() {
    let scratch = Scratch::new("links");
    let folder = scratch.open(options(Compression::Auto));
    let victim = scratch.0.join("victim");
    std::fs::write(&victim, "precious").expect("it can be written");
    std::os::unix::fs::symlink(&victim, scratch.folder().join("value-0")).expect("it can be made");
    assert!(folder.write(task(1), &whole(&[noise(1, 100_000)])).is_err());
    assert_eq!(std::fs::read(&victim).expect("it is there"), b"precious");
}

#[test]
fn objects_of_this_process_are_refused() {
    struct Nothing;
    impl kask_types::LocalItems for Nothing {
        fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
            self
        }
    }
    let scratch = Scratch::new("objects");
    let folder = scratch.open(options(Compression::Auto));
    let object = Content::Whole(Payload::Local(kask_types::Local { holder: Arc::new(Nothing), index: 0 }));
    assert!(matches!(folder.write(task(1), &object), Err(SpillError::NotEncoded { .. })));
    assert_eq!(files(&scratch.folder()), []);
}
