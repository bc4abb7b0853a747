//! The `kask` binary.

fn main() -> std::process::ExitCode {
    kask_cli::main()
}
