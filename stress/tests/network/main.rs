//! Networks of light nodes: the real machines and policies, a virtual clock, and a seed that makes
//! each run again.

#[cfg(test)]
mod honest;
#[cfg(test)]
mod liars;
#[cfg(test)]
mod mixed;
#[cfg(test)]
mod nodes;
