//! A wire between a node and its peer that counts and slows what the peer sends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::door::Door;

/// Forwards connections to a peer: new ones until it is dropped, each until one end closes it.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    _door: Door,
    from_peer: Arc<AtomicU64>,
}

impl Wire {
    /// A wire to a peer that lets so many bytes a second through from it; 0 for no limit.
    #[must_use]
    pub fn to(peer: SocketAddr, bytes_per_second: u64) -> Self {
        Self::slow(peer, bytes_per_second, Duration::ZERO)
    }

    /// The same, over which everything takes so long each way.
    #[must_use]
    pub fn slow(peer: SocketAddr, bytes_per_second: u64, delay: Duration) -> Self {
        let listener = TcpListener::bind((peer.ip(), 0)).unwrap();
        let (address, door) = (listener.local_addr().unwrap(), Door::of(&listener));
        let visitors = door.visitors(listener);
        let from_peer = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&from_peer);
        thread::spawn(move || {
            for node in visitors {
                let Ok(peer) = TcpStream::connect(peer) else { continue };
                // A line does not hold small pieces back, as Nagle's algorithm does.
                [&node, &peer].into_iter().for_each(|end| drop(end.set_nodelay(true)));
                let (node_in, peer_out) = (node.try_clone().unwrap(), peer.try_clone().unwrap());
                let counter = Arc::clone(&counter);
                if delay.is_zero() {
                    thread::spawn(move || forward(node_in, peer_out, 0, &AtomicU64::new(0)));
                    thread::spawn(move || forward(peer, node, bytes_per_second, &counter));
                } else {
                    let none = Arc::default();
                    thread::spawn(move || carry(node_in, peer_out, (0, delay), &none));
                    let line = (bytes_per_second, delay);
                    thread::spawn(move || carry(peer, node, line, &counter));
                }
            }
        });
        Self { address, _door: door, from_peer }
    }

    /// Where the node connects to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that the peer has sent so far, over all connections.
    #[must_use]
    pub fn bytes_from_peer(&self) -> u64 {
        self.from_peer.load(Ordering::Relaxed)
    }
}

/// Copies as [`forward`] does, with each piece on its way for so long. What is on the way has a bound,
/// as a line's buffers have.
fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    (bytes_per_second, delay): (u64, Duration),
    counter: &Arc<AtomicU64>,
) {
    let (sender, pieces) = sync_channel::<(Instant, Vec<u8>)>(512);
    let (near, far) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut piece = [0; 1448];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if sender.send((Instant::now() + delay, piece[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    let mut free = Instant::now();
    for (due, piece) in pieces {
        thread::sleep(due.max(free).saturating_duration_since(Instant::now()));
        let count = piece.len() as u64;
        let takes = (count * 1_000_000).checked_div(bytes_per_second).unwrap_or(0);
        // An idle line has nothing to make up for.
        free = free.max(due) + Duration::from_micros(takes);
        if to.write_all(&piece).is_err() {
            break;
        }
        counter.fetch_add(count, Ordering::Relaxed);
    }
    let _ = near.shutdown(Shutdown::Both);
    let _ = far.shutdown(Shutdown::Both);
}

/// Copies in small pieces, waiting so that the rate holds, until one end closes.
fn forward(mut from: TcpStream, mut to: TcpStream, bytes_per_second: u64, counter: &AtomicU64) {
    // Smaller than what a slow wire carries in the time of a commit.
    let mut piece = [0; 1448];
    let (started, mut sent) = (Instant::now(), 0u64);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        // Without a limit nothing is ever due.
        let due = (sent * 1_000_000).checked_div(bytes_per_second).unwrap_or(0);
        thread::sleep(Duration::from_micros(due).saturating_sub(started.elapsed()));
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
        sent += count as u64;
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
    // The other direction ends too; an end that is closed already says so, which is all right.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
