//! Benches only: see `benches/`, one file a path; the peers' crates are measured in the same run.
