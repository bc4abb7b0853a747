//! One piece of code, compiled for several instruction sets; which one is used is found when it runs.

/// A loop. `run` must be `#[inline(always)]`, so that it is compiled with what its caller may use.
pub(super) trait Task {
    type Output;
    fn run(self) -> Self::Output;
}

/// What this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What every processor of the architecture has.
    Base,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this processor has.
    pub(super) fn here() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            let has_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            if has_512 {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Level::Avx2;
            }
        }
        Level::Base
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Level> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut levels = vec![Level::Base];
            if is_x86_feature_detected!("avx2") {
                levels.push(Level::Avx2);
            }
            if Level::here() == Level::Avx512 {
                levels.push(Level::Avx512);
            }
            levels
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Level::Base]
    }

    /// Runs a loop with the instructions of this level.
    #[inline]
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Level::Base => task.run(),
            // SAFETY: a level is only made where the processor was seen to have its instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { with_avx2(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { with_avx512(task) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<T: Task>(task: T) -> T::Output {
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
fn with_avx512<T: Task>(task: T) -> T::Output {
    task.run()
}
