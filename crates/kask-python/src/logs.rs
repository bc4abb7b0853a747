//! What the engine has to say to people: warnings, and more when `KASK_LOG` asks for it.
//!
//! In the user's process it goes to Python's `logging`, under loggers such as `kask.executor.disk`, by way of the thread of
//! `callbacks`: the thread that has something to say never waits for the GIL. In worker processes it goes to standard error,
//! which their supervisor passes on. The first to be asked for is the one that stays.

use crate::callbacks;
use kask_cli::log_filter;
use pyo3::intern;
use pyo3::prelude::*;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// To Python's `logging`. For processes that start or join an engine.
pub fn to_python() {
    // Where somebody listens already, it stays so.
    let _ = tracing_subscriber::registry().with(log_filter()).with(ToPython).try_init();
}

/// To standard error. For worker processes.
pub fn to_stderr() {
    kask_cli::log_to_stderr();
}

struct ToPython;

impl<S: Subscriber> Layer<S> for ToPython {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let logger = logger_name(metadata.target());
        let level = level_number(*metadata.level());
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.finish();
        callbacks::push(Box::new(move |py| {
            if let Err(error) = log(py, &logger, level, &text) {
                error.write_unraisable(py, None);
            }
        }));
    }
}

fn log(py: Python<'_>, logger: &str, level: u32, text: &str) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), (logger,))?;
    // The text is an argument, not a format.
    logger.call_method1(intern!(py, "log"), (level, "%s", text))?;
    Ok(())
}

/// `kask_executor::disk` is `kask.executor.disk`; what others say is below `kask` as well.
fn logger_name(target: &str) -> String {
    let name = target.replace("::", ".");
    match name.strip_prefix("kask_") {
        Some(rest) => format!("kask.{rest}"),
        None => format!("kask.{name}"),
    }
}

/// As Python's `logging` numbers them.
fn level_number(level: Level) -> u32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG | Level::TRACE => 10,
    }
}

/// An event in words: what it says, what the error or reason was, and the rest in brackets.
#[derive(Default)]
struct Text {
    message: String,
    reasons: String,
    rest: String,
}

impl Text {
    fn finish(self) -> String {
        let Text { message, reasons, rest } = self;
        if rest.is_empty() { message + &reasons } else { format!("{message}{reasons} ({rest})") }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes what is written to it.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "error" | "reason" | "problem" => write!(self.reasons, ": {value:?}"),
            name => {
                let comma = if self.rest.is_empty() { "" } else { ", " };
                write!(self.rest, "{comma}{name}={value:?}")
            }
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_names_of_loggers() {
        assert_eq!(logger_name("kask_executor::spill::os"), "kask.executor.spill.os");
        assert_eq!(logger_name("rustls"), "kask.rustls");
    }
}
