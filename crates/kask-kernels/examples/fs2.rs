//! What a fused chain costs beside reading the data once: `cargo run --release -p kask-kernels --example fused_speed`.
//!
//! `(3 * x**2 + 2 * x + 1).sum()` over 576 MB of f64 on two threads, chunk by chunk, against `x.sum()`.

use kask_kernels::fused::{Constant, Kernel, Kind, Op, Reduction, Source, Step, View, ViewMut, Watched};
use std::time::{Duration, Instant};

const THREADS: usize = 2;
const CHUNKS: usize = 2;
const CHUNK: usize = 30_000;
const ROUNDS: usize = 9;

fn polynomial() -> Kernel {
    let constants =
        [3.0_f64, 2.0, 1.0].map(|value| Constant::new(Kind::F64, &value.to_ne_bytes()).expect("a constant"));
    let step = |op, args: &[Source]| Step { op, kind: Kind::F64, args: args.to_vec() };
    let x = Source::Input(0);
    let steps = vec![
        step(Op::Square, &[x]),
        step(Op::Multiply, &[Source::Step(0), Source::Constant(0)]),
        step(Op::Multiply, &[x, Source::Constant(1)]),
        step(Op::Add, &[Source::Step(1), Source::Step(2)]),
        step(Op::Add, &[Source::Step(3), Source::Constant(2)]),
    ];
    Kernel::new(vec![Kind::F64], constants.to_vec(), steps, Some(Reduction::Sum)).expect("a kernel")
}

fn sum() -> Kernel {
    Kernel::new(vec![Kind::F64], Vec::new(), Vec::new(), Some(Reduction::Sum)).expect("a kernel")
}

/// The shortest of some rounds.
fn time(kernel: &Kernel, chunks: &[Vec<u64>]) -> Duration {
    let round = || {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for mine in chunks.chunks(chunks.len() / THREADS) {
                scope.spawn(move || {
                    mine.iter().for_each(|chunk| {
                        for _ in 0..1200 {
                            run(kernel, chunk)
                        }
                    })
                });
            }
        });
        started.elapsed()
    };
    (0..ROUNDS).map(|_| round()).min().expect("there is a round")
}

fn run(kernel: &Kernel, chunk: &[u64]) {
    let watched = Watched::new(true, true, false, true);
    let mut total = [0_u64];
    // SAFETY: any bytes are bytes.
    let (input, output) = unsafe { (chunk.align_to::<u8>().1, total.align_to_mut::<u8>().1) };
    let views = [View::new(input, 0, vec![8])];
    let is_fine = kernel.run(&[chunk.len()], &[true], &views, &mut [ViewMut::new(output, 0, vec![0])], watched);
    assert!(is_fine.expect("the arrays fit"));
}

fn main() {
    let chunks: Vec<Vec<u64>> = (0..CHUNKS).map(|at| vec![(at as f64).to_bits(); CHUNK]).collect();
    let (read, chain) = (time(&sum(), &chunks), time(&polynomial(), &chunks));
    println!("sum {read:?}, polynomial and sum {chain:?}: {:.2}x", chain.as_secs_f64() / read.as_secs_f64());
}
