//! The scenarios and the program around them: what they find, not how long they take.

#[cfg(test)]
mod nodes;
#[cfg(test)]
mod page;
#[cfg(test)]
mod program;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod support;
