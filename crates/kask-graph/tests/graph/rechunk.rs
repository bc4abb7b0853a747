//! Plans of rechunks: what each must keep to, and which way is chosen where it is known which is best.

use kask_graph::chunks::{
    ChunkSizes, ChunksError, RechunkStep, RechunkTerms, RechunkWay, RechunkWays, SizeRun, direct_cost, plan_rechunk,
};
use proptest::prelude::*;

fn uniform(len: u64, size: u64) -> ChunkSizes {
    ChunkSizes::uniform(len, size).unwrap()
}

fn pair(left: u64, right: u64, side: u64) -> Vec<ChunkSizes> {
    vec![uniform(side, left), uniform(side, right)]
}

fn plan(old: &[ChunkSizes], new: &[ChunkSizes], terms: &RechunkTerms) -> Vec<RechunkStep> {
    plan_rechunk(old, new, terms).unwrap()
}

fn is_direct(steps: &[RechunkStep]) -> bool {
    matches!(steps, [RechunkStep { way: RechunkWay::Direct, .. }])
}

fn is_shuffle(steps: &[RechunkStep]) -> bool {
    matches!(steps, [RechunkStep { way: RechunkWay::Shuffle { .. }, .. }])
}

fn sum(steps: &[RechunkStep], of: impl Fn(&RechunkStep) -> f64) -> f64 {
    steps.iter().map(of).sum()
}

const MIB: u64 = 1 << 20;

#[test]
fn outputs_along_the_inputs_are_made_at_once() {
    let terms = RechunkTerms::new(8, MIB);
    for (old, new) in [
        (pair(16, 4096, 4096), pair(1024, 4096, 4096)),
        (pair(1024, 4096, 4096), pair(4096, 1024, 4096)),
        (pair(1024, 4096, 4096), pair(16, 4096, 4096)),
        (pair(512, 512, 4096), pair(700, 700, 4096)),
        (vec![uniform(1 << 40, 1 << 20)], vec![uniform(1 << 40, 1 << 21)]),
    ] {
        let steps = plan(&old, &new, &terms);
        assert!(is_direct(&steps), "{steps:?}");
    }
    let same = pair(16, 16, 100);
    assert_eq!(plan(&same, &same, &terms), []);
    let nothing = [vec![uniform(0, 1), uniform(9, 3)], vec![ChunkSizes::new([0, 0]).unwrap(), uniform(9, 2)]];
    assert!(is_direct(&plan(&nothing[0], &nothing[1], &terms)));
}

#[test]
fn rows_to_columns_are_shuffled_if_they_do_not_fit() {
    let (rows, columns) = (pair(250, 20_000, 20_000), pair(20_000, 250, 20_000));
    assert!(is_shuffle(&plan(&rows, &columns, &RechunkTerms::new(8, 128 * MIB))));
    let terms = RechunkTerms { ways: RechunkWays::Direct, ..RechunkTerms::new(8, 128 * MIB) };
    let steps = plan(&rows, &columns, &terms);
    assert!(steps.len() > 1 && steps.iter().all(|step| step.way == RechunkWay::Direct), "{steps:?}");
    // The disk of a small worker would have a file for each of many small blocks on the way.
    let known = RechunkTerms { worker_bytes: 852 * MIB, ..RechunkTerms::new(8, 426 * MIB) };
    assert!(is_shuffle(&plan(&rows, &columns, &known)));
    let (rows, columns) = (pair(400, 4_000, 4_000), pair(4_000, 400, 4_000));
    assert!(is_direct(&plan(&rows, &columns, &RechunkTerms::new(8, 1024 * MIB))));
}

#[test]
fn small_pieces_are_avoided() {
    let (columns, rows) = (pair(10_000, 1, 10_000), pair(1, 10_000, 10_000));
    for ways in [RechunkWays::All, RechunkWays::Direct] {
        let terms = RechunkTerms { ways, ..RechunkTerms::new(8, 128 * MIB) };
        let steps = plan(&columns, &rows, &terms);
        let edges = sum(&steps, |step| step.cost.edges);
        assert!((2..=4).contains(&steps.len()) && edges < 40_000.0, "{edges} in {steps:?}");
        assert_eq!(direct_cost(&columns, &rows, &terms).edges, 1e8);
    }
}

#[test]
fn a_way_that_is_asked_for_is_taken() {
    let (rows, columns) = (pair(100, 1_000, 1_000), pair(1_000, 100, 1_000));
    let shuffle = RechunkTerms { ways: RechunkWays::Shuffle, ..RechunkTerms::new(8, 128 * MIB) };
    assert!(is_shuffle(&plan(&rows, &columns, &shuffle)));
    assert!(is_shuffle(&plan(&rows, &pair(500, 1_000, 1_000), &shuffle)));
    let (fine, fine_too) = (pair(1, 1_000, 1_000), pair(1_000, 1, 1_000));
    let terms = RechunkTerms { ways: RechunkWays::Direct, ..RechunkTerms::new(8, 128 * MIB) };
    assert!(plan(&fine, &fine_too, &terms).len() > 1);
    for (threshold, is_once) in [(499.0, false), (500.0, true)] {
        // A million pieces, two thousand blocks.
        let steps = plan(&fine, &fine_too, &RechunkTerms { threshold: Some(threshold), ..terms });
        assert_eq!(is_direct(&steps), is_once);
    }
}

#[test]
fn groups_of_a_shuffle_are_as_small_as_they_have_to_be() {
    // 10,000 outputs of 16 MiB: 256 merges would take 1.25 GiB each.
    let old = vec![uniform(10_000, 100), uniform(2 * MIB, 2 * MIB / 100)];
    let new = vec![uniform(10_000, 1), uniform(2 * MIB, 2 * MIB)];
    let terms = RechunkTerms { ways: RechunkWays::Shuffle, ..RechunkTerms::new(8, 200 * MIB) };
    let steps = plan(&old, &new, &terms);
    let RechunkWay::Shuffle { groups } = steps[0].way else { panic!("{steps:?}") };
    assert!((1_667..=2_500).contains(&groups), "{groups}");
    assert!(steps[0].cost.peak_bytes <= 400.0 * MIB as f64);
}

#[test]
fn axes_that_do_not_fit_each_other_are_refused() {
    let terms = RechunkTerms::new(8, MIB);
    let (one, two) = (vec![uniform(10, 2)], pair(2, 2, 10));
    assert_eq!(plan_rechunk(&one, &two, &terms), Err(ChunksError::WrongAxes { given: 2, axes: 1 }));
    let other = vec![uniform(11, 2)];
    assert_eq!(plan_rechunk(&one, &other, &terms), Err(ChunksError::LengthsDiffer { left: 10, right: 11 }));
}

/// Chunks of an axis of this length: equal ones, or any.
fn any_chunks(len: u64) -> impl Strategy<Value = ChunkSizes> {
    let equal = (1..=len).prop_map(move |size| uniform(len, size));
    let fine = (1..=len.min(7)).prop_map(move |size| uniform(len, size));
    let mixed = prop::collection::vec((0..=len / 3 + 1, 1u32..40), 1..5).prop_map(move |runs| {
        let mut left = len;
        let mut kept = Vec::new();
        for (size, count) in runs {
            let fits = left.checked_div(size).unwrap_or(1).min(count.into()) as u32;
            kept.push(SizeRun { size, count: fits });
            left -= size * u64::from(fits);
        }
        ChunkSizes::from_runs(kept.into_iter().chain([SizeRun { size: left, count: 1 }])).unwrap()
    });
    prop_oneof![equal, fine, mixed]
}

fn any_axes() -> impl Strategy<Value = Vec<(ChunkSizes, ChunkSizes)>> {
    let axis = prop_oneof![1u64..20, 1u64..3_000].prop_flat_map(|len| (any_chunks(len), any_chunks(len)));
    prop::collection::vec(axis, 1..4)
}

fn any_ways() -> impl Strategy<Value = RechunkWays> {
    prop::sample::select(vec![RechunkWays::All, RechunkWays::Direct, RechunkWays::Shuffle])
}

/// The most that a task holds that makes one of these blocks of those under it, found block by block.
fn held(old: &[ChunkSizes], new: &[ChunkSizes], item_bytes: u64) -> f64 {
    let along = old.iter().zip(new).map(|(old, new)| {
        let read = |block: u32| {
            let (start, size) = (new.start(block), new.size(block));
            let blocks = if size == 0 { 0..0 } else { old.block_at(start)..old.block_at(start + size - 1) + 1 };
            blocks.map(|block| old.size(block)).sum::<u64>()
        };
        (0..new.blocks()).map(read).max().unwrap_or(0) as f64
    });
    let block: f64 = new.iter().map(|sizes| sizes.largest() as f64).product();
    (along.product::<f64>() + block) * item_bytes as f64
}

proptest! {
    #[test]
    fn plans_keep_to_their_terms(
        axes in any_axes(), item_bytes in 1u64..40, shift in 0u32..34, ways in any_ways(),
        threshold in prop::option::of(0f64..100.0),
    ) {
        let (old, new): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
        let terms = RechunkTerms { ways, threshold, ..RechunkTerms::new(item_bytes, 1 << shift) };
        let steps = plan(&old, &new, &terms);
        prop_assert_eq!(steps.is_empty(), old == new);
        let (limit, direct) = (terms.limit(&old, &new), direct_cost(&old, &new, &terms));
        let mut before = &old;
        for step in &steps {
            // Each cuts the whole array, into other blocks than the one before.
            let totals = |chunks: &[ChunkSizes]| chunks.iter().map(ChunkSizes::total).collect::<Vec<_>>();
            prop_assert_eq!(totals(&step.chunks), totals(&old));
            prop_assert_ne!(&step.chunks, before);
            match step.way {
                RechunkWay::Direct => {
                    prop_assert_ne!(ways, RechunkWays::Shuffle);
                    prop_assert_eq!(step.cost.peak_bytes, held(before, &step.chunks, item_bytes));
                }
                RechunkWay::Shuffle { groups } => {
                    prop_assert_ne!(ways, RechunkWays::Direct);
                    let outputs: u64 = step.chunks.iter().map(|sizes| u64::from(sizes.blocks())).product();
                    prop_assert!(groups > 0 && u64::from(groups) <= outputs);
                }
            }
            before = &step.chunks;
        }
        prop_assert!(steps.last().is_none_or(|last| last.chunks == new));
        if ways != RechunkWays::Shuffle {
            // There is always a way that keeps to the limit: through the chunks that lie within both.
            prop_assert!(steps.iter().all(|step| step.cost.peak_bytes <= limit), "{} of {:?}", limit, steps);
            if direct.peak_bytes <= limit {
                prop_assert!(sum(&steps, |step| step.cost.seconds) <= direct.seconds * (1.0 + 1e-9));
            }
        } else {
            prop_assert!(steps.len() <= 1);
        }
    }

    #[test]
    fn small_workers_get_the_smallest_tasks(axes in any_axes(), shift in 4u32..24) {
        let (old, new): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
        let terms = RechunkTerms { worker_bytes: 1 << shift, ..RechunkTerms::new(8, 1 << (shift - 1)) };
        let steps = plan(&old, &new, &terms);
        let most = steps.iter().map(|step| step.cost.peak_bytes).fold(0.0, f64::max);
        let blocks = |chunks: &[ChunkSizes]| chunks.iter().map(|sizes| sizes.largest() as f64).product::<f64>();
        // Twice what nothing can do without.
        let least = 2.0 * 8.0 * blocks(&old).max(blocks(&new));
        prop_assert!(most <= terms.limit(&old, &new).max(2.0 * least), "{} of {:?}", most, steps);
    }
}
