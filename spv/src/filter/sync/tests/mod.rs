//! The machine by itself, one call at a time.

mod disputes;
mod downloads;
mod revisions;
mod support;
