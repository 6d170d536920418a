//! Filter sync among liars: no payment is missed, and nobody honest is banned.

#[cfg(test)]
mod liars;
