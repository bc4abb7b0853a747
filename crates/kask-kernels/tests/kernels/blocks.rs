//! Copies between strided blocks and rechunks, against a walk over all elements.

use kask_kernels::{Block, BlockMut, Chunks, Grouping, assemble_block, block_note, c_strides, copy_box, split_block};
use proptest::prelude::*;

/// All indices of a shape, in C order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &len| {
        all.iter().flat_map(|index| (0..len).map(move |i| [index.as_slice(), &[i]].concat())).collect()
    })
}

fn position(index: &[usize], offset: usize, strides: &[isize]) -> usize {
    let steps: isize = index.iter().zip(strides).map(|(&index, &stride)| index as isize * stride).sum();
    offset.checked_add_signed(steps).expect("not negative")
}

/// A layout without overlaps: axes in some order of memory, some reversed, with gaps between elements.
#[derive(Debug, Clone)]
struct Layout {
    offset: usize,
    strides: Vec<isize>,
    nbytes: usize,
}

fn layout(shape: &[usize], itemsize: usize, order: &[usize], reversed: &[bool], gap: usize) -> Layout {
    let mut axes: Vec<usize> = (0..shape.len()).collect();
    axes.sort_by_key(|&axis| order[axis]);
    let (mut strides, mut offset, mut extent) = (vec![0; shape.len()], 0, itemsize);
    for axis in axes {
        let stride = extent + gap * itemsize;
        extent = stride * shape[axis].max(1);
        strides[axis] = stride as isize;
        if reversed[axis] && shape[axis] > 0 {
            offset += stride * (shape[axis] - 1);
            strides[axis] = -strides[axis];
        }
    }
    Layout { offset, strides, nbytes: extent }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

const AXES: usize = 4;

prop_compose! {
    fn blocks()(
        axes in 0..=AXES,
        lens in prop::collection::vec(0_usize..=9, AXES),
        margins in prop::collection::vec((0_usize..3, 0_usize..3, 0_usize..3, 0_usize..3), AXES),
        itemsize in prop::sample::select(vec![0_usize, 1, 2, 3, 4, 8, 12, 16, 24]),
        orders in prop::collection::vec((0_usize..9, 0_usize..9), AXES),
        reversed in prop::collection::vec(any::<(bool, bool)>(), AXES),
        gaps in (0_usize..2, 0_usize..2),
        long in any::<bool>(),
    ) -> (Vec<usize>, usize, [(Vec<usize>, Vec<usize>, Layout); 2]) {
        let mut lens = lens[..axes].to_vec();
        // Longer than a tile now and then.
        if long && axes == 2 {
            lens = lens.iter().map(|len| len * 11).collect();
        }
        let side = |start: &dyn Fn(usize) -> (usize, usize), order: &dyn Fn(usize) -> usize, back: &dyn Fn(usize) -> bool, gap| {
            let starts: Vec<usize> = (0..axes).map(|axis| start(axis).0).collect();
            let shape: Vec<usize> = (0..axes).map(|axis| start(axis).0 + lens[axis] + start(axis).1).collect();
            let order: Vec<usize> = (0..axes).map(order).collect();
            let back: Vec<bool> = (0..axes).map(back).collect();
            let layout = layout(&shape, itemsize, &order, &back, gap);
            (starts, shape, layout)
        };
        let source = side(&|a| (margins[a].0, margins[a].1), &|a| orders[a].0, &|a| reversed[a].0, gaps.0);
        let target = side(&|a| (margins[a].2, margins[a].3), &|a| orders[a].1, &|a| reversed[a].1, gaps.1);
        (lens, itemsize, [source, target])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn boxes_are_copied_and_nothing_else((lens, itemsize, [source, target]) in blocks()) {
        let (from_start, from_shape, from) = source;
        let (to_start, to_shape, to) = target;
        let source_bytes = bytes(from.nbytes);
        let mut target_bytes = vec![0xee; to.nbytes];
        let block = Block::new(&source_bytes, itemsize, from.offset, &from_shape, &from.strides).expect("within its bytes");
        let mut expected = target_bytes.clone();
        for index in indices(&lens) {
            let at = |start: &[usize]| start.iter().zip(&index).map(|(a, b)| a + b).collect::<Vec<_>>();
            let (p, q) = (position(&at(&from_start), from.offset, &from.strides), position(&at(&to_start), to.offset, &to.strides));
            expected[q..q + itemsize].copy_from_slice(&source_bytes[p..p + itemsize]);
        }
        let mut goal = BlockMut::new(&mut target_bytes, itemsize, to.offset, &to_shape, &to.strides).expect("within its bytes");
        copy_box(&block, &from_start, &mut goal, &to_start, &lens).expect("within both");
        prop_assert_eq!(target_bytes, expected);
    }

    #[test]
    fn rechunks_keep_every_element(
        axes in 0_usize..=3,
        cuts in prop::collection::vec((prop::collection::vec(0_u64..5, 1..4), prop::collection::vec(0_u64..5, 1..4)), 3),
        groups in 1_u32..9,
        fortran in any::<bool>(),
    ) {
        let (old, new): (Vec<Vec<u64>>, Vec<Vec<u64>>) = cuts[..axes].iter().map(|(old, new)| equal_lengths(old, new)).unzip();
        let (old, new) = (Chunks::new(&old).expect("chunks"), Chunks::new(&new).expect("chunks"));
        check_rechunk(&old, &new, &cuts[..axes], groups, fortran);
    }
}

/// The same cuts with the shorter one made as long as the other.
fn equal_lengths(old: &[u64], new: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let (a, b): (u64, u64) = (old.iter().sum(), new.iter().sum());
    let fill = |sizes: &[u64], missing: u64| [sizes, &[missing]].concat();
    (fill(old, b.saturating_sub(a)), fill(new, a.saturating_sub(b)))
}

/// Where each block of a grid begins, in C order.
fn starts(sizes: &[Vec<u64>]) -> Vec<Vec<u64>> {
    sizes.iter().fold(vec![vec![]], |all, sizes| {
        let begins: Vec<u64> = sizes.iter().scan(0, |end, size| Some(std::mem::replace(end, *end + size))).collect();
        all.iter().flat_map(|start| begins.iter().map(move |&b| [start.as_slice(), &[b]].concat())).collect()
    })
}

/// The element at a place of the array: its number in C order, as eight bytes.
fn element(index: &[u64], whole: &[u64]) -> [u8; 8] {
    index.iter().zip(whole).fold(0_u64, |number, (index, len)| number * len + index).to_le_bytes()
}

fn check_rechunk(old: &Chunks, new: &Chunks, cuts: &[(Vec<u64>, Vec<u64>)], groups: u32, fortran: bool) {
    let (old_sizes, new_sizes): (Vec<_>, Vec<_>) = cuts.iter().map(|(old, new)| equal_lengths(old, new)).unzip();
    let whole: Vec<u64> = new_sizes.iter().map(|sizes| sizes.iter().sum()).collect();
    let grouping = Grouping::even(new.count(), groups.min(new.count())).expect("valid");
    let mut splits = Vec::new();
    for (number, start) in starts(&old_sizes).iter().enumerate() {
        let shape = old.shape_of(number as u32);
        let mut strides = c_strides(8, &shape);
        if fortran {
            strides = c_strides(8, &shape.iter().rev().copied().collect::<Vec<_>>()).into_iter().rev().collect();
        }
        let mut bytes = vec![0; shape.iter().product::<usize>() * 8];
        for index in indices(&shape) {
            let place: Vec<u64> = index.iter().zip(start).map(|(&index, &start)| index as u64 + start).collect();
            bytes[position(&index, 0, &strides)..][..8].copy_from_slice(&element(&place, &whole));
        }
        let block = Block::new(&bytes, 8, 0, &shape, &strides).expect("fits");
        splits.push(split_block(&block, start, new, &grouping, b"<f8").expect("within the array"));
    }
    let mut number = 0;
    let new_starts = starts(&new_sizes);
    for group in 0..grouping.groups() {
        for output in grouping.outputs_of(group) {
            let shape = new.shape_of(output);
            let mut bytes = vec![0xee; shape.iter().product::<usize>() * 8];
            let mut target = BlockMut::contiguous(&mut bytes, 8, &shape).expect("fits");
            let parts = splits.iter().map(|parts| parts[group].as_ref());
            assert!(parts.clone().all(|part| block_note(part).expect("a part") == b"<f8"));
            assemble_block(&mut target, output - grouping.outputs_of(group).start, parts).expect("all parts are there");
            for (index, found) in indices(&shape).iter().zip(bytes.as_chunks::<8>().0) {
                let place: Vec<u64> =
                    index.iter().zip(&new_starts[number]).map(|(&i, &start)| i as u64 + start).collect();
                assert_eq!(*found, element(&place, &whole));
            }
            number += 1;
        }
    }
}

#[test]
fn a_missing_part_is_noticed() {
    let chunks = Chunks::new(&[vec![4]]).expect("chunks");
    let grouping = Grouping::even(1, 1).expect("valid");
    let bytes = bytes(2);
    let block = Block::contiguous(&bytes, 1, &[2]).expect("fits");
    let part = split_block(&block, &[0], &chunks, &grouping, b"").expect("within the array").remove(0);
    let mut target = [0; 4];
    let mut target = BlockMut::contiguous(&mut target, 1, &[4]).expect("fits");
    let error = assemble_block(&mut target, 0, [part.as_ref()]).expect_err("half is missing");
    assert!(error.to_string().contains("have 2 elements, its block has 4"), "{error}");
}

#[test]
fn damaged_parts_are_errors_and_never_panics() {
    let chunks = Chunks::new(&[vec![2, 3], vec![1, 3]]).expect("chunks");
    let bytes = bytes(40);
    let block = Block::contiguous(&bytes, 2, &[5, 4]).expect("fits");
    let part =
        split_block(&block, &[0, 0], &chunks, &Grouping::even(4, 1).expect("valid"), b"note").expect("fits").remove(0);
    let assemble = |part: &[u8]| {
        let mut bytes = [0; 18];
        let mut target = BlockMut::contiguous(&mut bytes, 2, &[3, 3]).expect("fits");
        assemble_block(&mut target, 3, [part])
    };
    assemble(&part).expect("whole");
    for at in 0..part.len() {
        let mut damaged = part.to_vec();
        damaged[at] ^= 0x41;
        let _ = assemble(&damaged);
        assert!(!(24..64).contains(&at) || assemble(&damaged).is_err(), "damage at {at} of the header");
        assert!(assemble(&part[..at.min(200)]).is_err());
    }
}

#[test]
fn impossible_blocks_are_refused() {
    let mut bytes = [0; 16];
    assert!(Block::contiguous(&bytes, 4, &[5]).is_err());
    assert!(Block::new(&bytes, 4, 4, &[4], &[4]).is_err());
    assert!(Block::new(&bytes, 4, 0, &[4], &[-4]).is_err());
    assert!(Block::new(&bytes, 4, 12, &[4], &[-4]).is_ok());
    assert!(Block::new(&bytes, 4, 0, &[2, 2], &[4]).is_err());
    assert!(Block::new(&bytes, 4, 0, &[usize::MAX, usize::MAX], &[isize::MAX, isize::MAX]).is_err());
    assert!(BlockMut::new(&mut bytes, 4, 0, &[4], &[0]).is_err(), "elements that share bytes cannot be written");
    assert!(BlockMut::new(&mut bytes, 4, 0, &[4], &[2]).is_err());
    assert!(BlockMut::new(&mut [], 4, 0, &[2, 0], &[0, 4]).is_ok(), "no element overlaps another");
    let block = Block::contiguous(&[0; 16], 4, &[4]).expect("fits");
    let mut target = BlockMut::contiguous(&mut bytes, 4, &[4]).expect("fits");
    assert!(copy_box(&block, &[3], &mut target, &[0], &[2]).is_err());
    assert!(copy_box(&block, &[0], &mut target, &[usize::MAX], &[2]).is_err());
    assert!(copy_box(&block, &[0, 0], &mut target, &[0], &[2]).is_err());
    assert!(Chunks::new(&[vec![]]).is_err());
    assert!(Chunks::new(&vec![vec![1; 2000]; 3]).is_err(), "more blocks than can be numbered");
}

/// A broadcast axis has stride 0: every element along it is the same memory.
#[test]
fn broadcast_sources_are_read() {
    let source = [1, 2, 3];
    let mut target = [0; 6];
    let from = Block::new(&source, 1, 0, &[2, 3], &[0, 1]).expect("fits");
    copy_box(&from, &[0, 0], &mut BlockMut::contiguous(&mut target, 1, &[2, 3]).expect("fits"), &[0, 0], &[2, 3])
        .expect("fits");
    assert_eq!(target, [1, 2, 3, 1, 2, 3]);
}
