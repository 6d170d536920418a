//! The scenarios: what they find, not how long they take.

#[cfg(test)]
mod runs;
#[cfg(test)]
mod support;
