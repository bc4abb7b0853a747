//! What a check found: the place, what is wrong there, and what to do.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A path, with a line where there is one (`path:line`), or a crate's name.
    pub(crate) place: String,
    pub(crate) wrong: String,
    /// The way out, in a sentence.
    pub(crate) hint: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, wrong: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { place: place.into(), wrong: wrong.into(), hint: hint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    do: {}", self.place, self.wrong, self.hint)
    }
}
