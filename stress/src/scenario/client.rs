//! A client that is a process of its own: it verifies the headers that it is fed through a pipe.
//!
//! A batch is the number of its headers, as four bytes with the lowest first, and the headers, 80
//! bytes each. Each is answered by a line: height, hash and work of the tip, and how many headers
//! were refused so far.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ironlight_spv::{Header, HeaderChain};

use super::chains::{regtest, take_in};

/// The argument that makes the program such a client.
pub(crate) const CLIENT: &str = "verify-headers";
/// Headers of a batch at most.
const MOST: usize = 2_000;

/// What a client says of its chain after a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing(String);

impl Standing {
    /// How a chain stands, with so many headers refused.
    pub(super) fn of(chain: &HeaderChain, refused: usize) -> Self {
        let tip = chain.tip();
        Self(format!("{} {} {:x} {refused}", tip.height.0, tip.hash, tip.work))
    }
}

impl core::fmt::Display for Standing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a process of `concurrent-headers` does: verifies and applies each batch, and says how its chain stands, until the
/// input ends.
///
/// # Errors
/// Where input or output fail, or a batch is larger than 2,000 headers.
pub fn verify_headers(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let (mut chain, mut refused) = (regtest(), 0);
    loop {
        let mut count = [0; 4];
        match input.read_exact(&mut count) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let count = usize::try_from(u32::from_le_bytes(count)).unwrap_or(usize::MAX);
        if count > MOST {
            return Err(io::Error::new(ErrorKind::InvalidData, "a batch of too many headers"));
        }
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            let mut header = [0; Header::SIZE];
            input.read_exact(&mut header)?;
            batch.push(Header::from_bytes(header));
        }
        refused += if take_in(&mut chain, &batch).is_ok() { 0 } else { count };
        writeln!(output, "{}", Standing::of(&chain, refused))?;
        output.flush()?;
    }
}

/// Such a process, which ends with the value.
pub(super) struct Client {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Client {
    /// Starts the program as a client.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(CLIENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        Ok(Self { process, to, from: BufReader::new(from) })
    }

    /// Has it verify a batch.
    pub(super) fn verify(&mut self, batch: &[Header]) -> io::Result<Standing> {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(4 + Header::SIZE * batch.len());
        frame.extend_from_slice(&count.to_le_bytes());
        batch.iter().for_each(|header| frame.extend_from_slice(header.as_bytes()));
        self.to.write_all(&frame)?;
        let mut line = String::new();
        // Longer than any answer: a height, two numbers of 64 digits and a count.
        if (&mut self.from).take(256).read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Standing(line.trim_end().to_owned()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use ironlight_spv::generate::Miner;

    use super::super::chains::mine_on;
    use super::*;

    fn frame(batch: &[Header]) -> Vec<u8> {
        let count = u32::try_from(batch.len()).unwrap().to_le_bytes();
        let headers = batch.iter().flat_map(|header| header.as_bytes().iter().copied());
        count.into_iter().chain(headers).collect()
    }

    #[test]
    fn each_batch_is_answered_and_what_is_refused_is_counted() {
        let mut tip = regtest().params().genesis;
        let headers = mine_on(&mut Miner::new(1), &mut tip, 30);
        let gap = [frame(&headers[..10]), frame(&headers[20..]), frame(&headers[10..20])].concat();
        let mut said = Vec::new();
        verify_headers(&gap[..], &mut said).unwrap();
        let mut chain = regtest();
        let mut wanted = Vec::new();
        for (batch, refused) in [(0..10, 0), (10..10, 10), (10..20, 10)] {
            take_in(&mut chain, &headers[batch]).unwrap();
            wanted.push(Standing::of(&chain, refused).0);
        }
        assert_eq!(String::from_utf8(said).unwrap(), wanted.join("\n") + "\n");
    }

    #[test]
    fn a_batch_that_is_too_large_or_cut_off_is_an_error() {
        let (large, cut) = (2_001_u32.to_le_bytes(), [1, 0, 0, 0, 7]);
        let of = |input: &[u8]| verify_headers(input, Vec::new()).unwrap_err().kind();
        assert_eq!((of(&large), of(&cut)), (ErrorKind::InvalidData, ErrorKind::UnexpectedEof));
    }
}
