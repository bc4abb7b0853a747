//! The `kask` binary.

#[global_allocator]
static ALLOCATOR: kask_executor::Allocator = kask_executor::Allocator::new();

fn main() -> std::process::ExitCode {
    kask_cli::main()
}
