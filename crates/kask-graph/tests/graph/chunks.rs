//! Chunk arithmetic against what it means, element by element.

use kask_graph::chunks::{AxisSpec, ChunkSizes, ChunksError, Interval, flat, normalize, plan_reshape, unify};
use proptest::prelude::*;

fn sizes(list: &[u64]) -> ChunkSizes {
    ChunkSizes::new(list.iter().copied()).unwrap()
}

fn listed(sizes: &ChunkSizes) -> Vec<u64> {
    sizes.iter().collect()
}

/// The chunk of each element.
fn owners(sizes: &ChunkSizes) -> Vec<u32> {
    (0..sizes.blocks()).flat_map(|block| std::iter::repeat_n(block, sizes.size(block) as usize)).collect()
}

fn any_sizes() -> impl Strategy<Value = ChunkSizes> {
    prop::collection::vec(0u64..6, 1..9).prop_map(|list| sizes(&list))
}

/// Two ways to cut one axis.
fn two_cuts() -> impl Strategy<Value = (ChunkSizes, ChunkSizes)> {
    (any_sizes(), prop::collection::vec(any::<prop::sample::Index>(), 0..6)).prop_map(|(one, cuts)| {
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(one.total() as usize + 1) as u64).collect();
        cuts.sort_unstable();
        cuts.push(one.total());
        let mut before = 0;
        let other = ChunkSizes::new(cuts.iter().map(|&cut| cut - std::mem::replace(&mut before, cut))).unwrap();
        (one, other)
    })
}

#[test]
fn equal_sizes_are_equal_however_they_were_given() {
    assert_eq!(sizes(&[3, 3, 3, 1]), ChunkSizes::uniform(10, 3).unwrap());
    assert_eq!(ChunkSizes::uniform(1_000_000_000, 1).unwrap().runs().len(), 1);
    assert_eq!(listed(&ChunkSizes::uniform(0, 5).unwrap()), [0]);
    assert_eq!(ChunkSizes::new([]), Err(ChunksError::NoChunks));
    assert_eq!(ChunkSizes::new([u64::MAX, 2]), Err(ChunksError::TooLong));
    assert_eq!(ChunkSizes::uniform(1 << 40, 1), Err(ChunksError::TooManyChunks));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    use AxisSpec::{Size, Sizes};
    let normalized = |specs: &[AxisSpec]| normalize(&[10], specs, 8, 1 << 20, None);
    assert_eq!(normalized(&[]), Err(ChunksError::WrongAxes { given: 0, axes: 1 }));
    assert_eq!(normalized(&[Size(0)]), Err(ChunksError::ZeroSize { axis: 0, len: 10 }));
    assert_eq!(normalized(&[Sizes(sizes(&[4, 5]))]), Err(ChunksError::WrongSum { axis: 0, sum: 9, len: 10 }));
}

#[test]
fn automatic_sizes_keep_to_the_limit_and_to_what_was_before() {
    use AxisSpec::{Auto, Size};
    let chunks = normalize(&[100, 1_000_000, 7], &[Auto, Auto, Auto], 8, 1 << 20, None).unwrap();
    let block: u64 = chunks.iter().map(ChunkSizes::largest).product();
    assert!((1 << 16..=1 << 17).contains(&block), "{block}");
    assert_eq!((chunks[0].largest(), chunks[2].largest()), (100, 7));
    let before = [ChunkSizes::uniform(1_000, 30).unwrap(), ChunkSizes::uniform(1_000, 400).unwrap()];
    let chunks = normalize(&[1_000, 1_000], &[Auto, Auto], 1, 10_000, Some(&before)).unwrap();
    assert_eq!((chunks[0].largest(), chunks[1].largest()), (90, 100));
    let chunks = normalize(&[0, 5], &[Auto, Size(2)], 8, 1, None).unwrap();
    assert_eq!((listed(&chunks[0]), listed(&chunks[1])), (vec![0], vec![2, 2, 1]));
}

proptest! {
    #[test]
    fn look_ups_agree_with_the_list(sizes in any_sizes()) {
        prop_assert_eq!(owners(&sizes), (0..sizes.total()).map(|element| sizes.block_at(element)).collect::<Vec<_>>());
        let mut start = 0;
        for (block, size) in (0..).zip(sizes.iter()) {
            prop_assert_eq!((sizes.start(block), sizes.size(block)), (start, size));
            start += size;
        }
        prop_assert_eq!(ChunkSizes::new(sizes.iter()).unwrap(), sizes);
    }

    #[test]
    fn slices_keep_what_is_taken_of_each_chunk(
        sizes in any_sizes(), start in any::<prop::sample::Index>(), step in prop::sample::select(vec![-4i64, -3, -2, -1, 1, 2, 3, 7]),
        most in 0usize..40,
    ) {
        let start = if sizes.total() == 0 { 0 } else { start.index(sizes.total() as usize) as u64 };
        let there = |at: &i64| (0..sizes.total() as i64).contains(at);
        let taken: Vec<i64> = (0i64..).map(|i| start as i64 + i * step).take_while(there).take(most).collect();
        let len = taken.len() as u64;
        let owners = owners(&sizes);
        let mut counts: Vec<(u32, u64)> = Vec::new();
        for at in taken {
            let owner = owners[at as usize];
            match counts.last_mut().filter(|last| last.0 == owner) {
                Some(last) => last.1 += 1,
                None => counts.push((owner, 1)),
            }
        }
        let expected: Vec<u64> = counts.iter().map(|count| count.1).collect();
        let expected = if expected.is_empty() { vec![0] } else { expected };
        prop_assert_eq!(listed(&sizes.slice(start, step, len)), expected);
    }

    #[test]
    fn unified_chunks_are_cut_where_any_is((one, other) in two_cuts()) {
        let both = unify(&[one.clone(), other.clone()]).unwrap();
        let (ours, left, right) = (owners(&both), owners(&one), owners(&other));
        for at in 1..ours.len() {
            let is_cut = left[at] != left[at - 1] || right[at] != right[at - 1];
            prop_assert_eq!(ours[at] != ours[at - 1], is_cut || one == other && left[at] != left[at - 1]);
        }
    }

    #[test]
    fn intervals_take_each_element_from_where_it_is(
        (input, output) in two_cuts(), step in prop::sample::select(vec![1i64, 2, 3, -1, -2]),
        before in 0u64..4, after in 0u64..4,
    ) {
        let len = input.total().div_ceil(step.unsigned_abs());
        let output = if step == 1 { output } else { input.slice(if step > 0 { 0 } else { input.total().saturating_sub(1) }, step, len) };
        let start = if step > 0 { 0 } else { input.total().saturating_sub(1) };
        let (before, after) = if step == 1 { (before, after) } else { (0, 0) };
        let interval = Interval { input: input.clone(), output: output.clone(), start, step, before, after };
        let elements: Vec<u64> = (0..input.total()).collect();
        for block in 0..output.blocks() {
            let own: Vec<i64> = (output.start(block)..output.start(block) + output.size(block))
                .map(|i| start as i64 + i as i64 * step).collect();
            let expected: Vec<u64> = match own.first().zip(own.last()) {
                None => Vec::new(),
                Some((first, last)) if step == 1 => {
                    let low = first.saturating_sub(before as i64).max(0);
                    let high = (last + after as i64).min(input.total() as i64 - 1);
                    prop_assert_eq!(interval.margin(block), (first - low) as u64);
                    (low as u64..=high as u64).collect()
                }
                Some(_) => own.iter().map(|&at| at as u64).collect(),
            };
            prop_assert_eq!(interval.len(block) as usize, expected.len());
            let mut made = vec![u64::MAX; expected.len()];
            for piece in interval.pieces(block) {
                let from = input.start(piece.block);
                for i in 0..piece.len {
                    let at = (piece.start as i64 + i as i64 * piece.step) as u64;
                    prop_assert!(at < input.size(piece.block));
                    made[(piece.at + i) as usize] = elements[(from + at) as usize];
                }
            }
            prop_assert_eq!(made, expected);
        }
    }

    /// Follows a plan with a real array: each step only ever looks at one block.
    #[test]
    fn reshape_plans_can_be_followed(
        shape in prop::collection::vec(1u64..7, 0..4), cuts in any::<u64>(), target in any::<prop::sample::Index>(), most in 1u64..60,
    ) {
        let old: Vec<ChunkSizes> = shape.iter().enumerate()
            .map(|(axis, &len)| ChunkSizes::uniform(len, 1 + (cuts >> (3 * axis)) % len).unwrap()).collect();
        let total: u64 = shape.iter().product();
        let shapes = shapes_of(total);
        let new = target.get(&shapes);
        let plan = plan_reshape(&old, new, most).unwrap();
        let totals = |chunks: &[ChunkSizes]| chunks.iter().map(ChunkSizes::total).collect::<Vec<_>>();
        prop_assert_eq!(totals(&plan.before), shape);
        prop_assert_eq!(&totals(&plan.after), new);
        prop_assert_eq!(totals(&plan.merged), totals(&plan.split));
        same_stretches(&plan.before, &plan.merged)?;
        same_stretches(&plan.split, &plan.after)?;
    }
}

proptest! {
    #[test]
    fn combined_chunks_are_what_their_lists_are(
        pairs in prop::collection::vec((0u64..6, 0u64..4), 1..9), factor in 0u64..4, before in 0u64..4, after in 0u64..4,
    ) {
        let (left, right): (Vec<u64>, Vec<u64>) = pairs.iter().copied().unzip();
        let (one, other) = (sizes(&left), sizes(&right));
        prop_assert_eq!(listed(&one.scaled(factor).unwrap()), left.iter().map(|size| size * factor).collect::<Vec<_>>());
        prop_assert_eq!(listed(&one.plus(&[&other]).unwrap()), pairs.iter().map(|(a, b)| a + b).collect::<Vec<_>>());
        let without: Option<Vec<u64>> = pairs.iter().map(|(a, b)| a.checked_sub(*b)).collect();
        prop_assert_eq!(one.minus(&[&other]).ok().map(|sizes| listed(&sizes)), without);
        let mut longer = left.clone();
        longer[0] += before;
        *longer.last_mut().unwrap() += after;
        prop_assert_eq!(listed(&one.grown(before, after).unwrap()), longer);
    }

    #[test]
    fn groups_belong_to_the_chunk_that_they_end_in(one in any_sizes(), size in 1u64..6) {
        let mut counts = vec![0; one.blocks() as usize];
        for (element, owner) in (1..).zip(owners(&one)) {
            counts[owner as usize] += u64::from(element % size == 0);
        }
        prop_assert_eq!(listed(&one.coarsened(size)), counts);
    }

    #[test]
    fn chunks_share_the_pieces_that_both_write(one in any_sizes(), unit in 1u64..7, start in 0u64..9, step in 1u64..4) {
        let owners = owners(&one);
        let piece = |element: usize| (start + step * element as u64) / unit;
        let shared = (1..owners.len()).filter(|&at| owners[at] != owners[at - 1] && piece(at) == piece(at - 1));
        prop_assert_eq!(one.first_shared(unit, start, step), shared.map(piece).next());
    }

    #[test]
    fn touched_chunks_have_an_element(one in any_sizes(), start in any::<prop::sample::Index>(), step in 1u64..5, most in 0usize..20) {
        let start = if one.total() == 0 { 0 } else { start.index(one.total() as usize) as u64 };
        let taken: Vec<u64> = (start..one.total()).step_by(step as usize).take(most).collect();
        let mut touched = vec![false; one.blocks() as usize];
        taken.iter().for_each(|&at| touched[one.block_at(at) as usize] = true);
        prop_assert_eq!(one.touched(start, step, taken.len() as u64).collect::<Vec<_>>(), touched);
    }

    #[test]
    fn flat_chunks_are_the_blocks_in_c_order(axes in prop::collection::vec(any_sizes(), 0..4), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let naive = axes.iter().fold(vec![1], |heads: Vec<u64>, axis| {
            heads.iter().flat_map(|head| axis.iter().map(move |size| head * size)).collect()
        });
        let one = flat(&axes).unwrap();
        prop_assert_eq!(listed(&one), naive.clone());
        let picks: Vec<usize> = picks.iter().map(|pick| pick.index(naive.len())).collect();
        let picked = one.picked(picks.iter().map(|&at| at as u32)).unwrap();
        prop_assert_eq!(listed(&picked), picks.iter().map(|&at| naive[at]).collect::<Vec<_>>());
    }

    #[test]
    fn margins_are_those_of_each_block(
        (input, cut) in two_cuts(), first in any::<prop::sample::Index>(), before in 0u64..9, after in 0u64..9,
    ) {
        let start = first.index(input.total() as usize + 1) as u64;
        let output = if start == 0 { cut } else { cut.slice(start.min(cut.total().saturating_sub(1)), 1, cut.total() - start) };
        let interval = Interval { input, output: output.clone(), start, step: 1, before, after };
        let (fronts, backs) = interval.margins();
        for block in 0..output.blocks() {
            let front = interval.margin(block);
            prop_assert_eq!(fronts.size(block), front);
            prop_assert_eq!(backs.size(block), interval.len(block) - front - output.size(block));
        }
        let wide = output.plus(&[&fronts, &backs]).unwrap();
        prop_assert!((0..output.blocks()).all(|block| wide.size(block) == interval.len(block)));
    }
}

#[test]
fn runs_stay_runs() {
    let many = ChunkSizes::uniform(1 << 40, 1 << 10).unwrap();
    let blocks = many.blocks();
    let runs = |sizes: &ChunkSizes| sizes.runs().map(|run| (run.size, run.count)).collect::<Vec<_>>();
    assert_eq!(runs(&many.scaled(3).unwrap()), [(3 << 10, blocks)]);
    assert_eq!(runs(&many.coarsened(1 << 5)), [(1 << 5, blocks)]);
    assert_eq!(runs(&many.grown(1, 2).unwrap()), [(1025, 1), (1024, blocks - 2), (1026, 1)]);
    assert_eq!(runs(&flat(&[many.clone(), sizes(&[7])]).unwrap()), [(7 << 10, blocks)]);
    let interval = Interval { input: many.clone(), output: many.clone(), start: 0, step: 1, before: 1500, after: 3 };
    let (fronts, backs) = interval.margins();
    assert_eq!(runs(&fronts), [(0, 1), (1024, 1), (1500, blocks - 2)]);
    assert_eq!(runs(&backs), [(3, blocks - 1), (0, 1)]);
    assert_eq!(many.minus(&[&sizes(&[1])]), Err(ChunksError::BlocksDiffer { left: blocks, right: 1 }));
    assert_eq!(sizes(&[2]).minus(&[&sizes(&[1]), &sizes(&[2])]), Err(ChunksError::TooShort { size: 1, taken: 2 }));
}

/// Some shapes of so many elements.
fn shapes_of(total: u64) -> Vec<Vec<u64>> {
    let mut shapes = vec![vec![total], vec![1, total], vec![total, 1]];
    for a in (1..=total).filter(|a| total.is_multiple_of(*a)) {
        shapes.push(vec![a, total / a]);
        for b in (1..=total / a).filter(|b| (total / a).is_multiple_of(*b)) {
            shapes.push(vec![a, b, total / a / b]);
        }
    }
    if total == 1 {
        shapes.push(Vec::new());
    }
    shapes
}

/// The flat indices of each block's elements, block by block in C order.
fn stretches(chunks: &[ChunkSizes]) -> Vec<Vec<u64>> {
    let mut blocks = vec![(vec![0u64], 1u64)];
    blocks = chunks.iter().fold(blocks, |blocks, sizes| {
        let mut next = Vec::new();
        for (elements, _) in &blocks {
            for block in 0..sizes.blocks() {
                let along = sizes.start(block)..sizes.start(block) + sizes.size(block);
                let inner = elements.iter().flat_map(|e| along.clone().map(move |i| e * sizes.total() + i)).collect();
                next.push((inner, 0));
            }
        }
        next
    });
    blocks.into_iter().map(|(elements, _)| elements).collect()
}

fn same_stretches(left: &[ChunkSizes], right: &[ChunkSizes]) -> Result<(), TestCaseError> {
    prop_assert_eq!(stretches(left), stretches(right), "{:?} and {:?}", left, right);
    Ok(())
}
