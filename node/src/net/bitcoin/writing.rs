//! The half of a connection that writes: what is asked, answers, and pings.

use std::sync::atomic::Ordering;

use ironlight_spv::peers::SplitMix64;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, ToWriter};
use super::data_line::question;
use super::events::CloseReason;
use super::gathered::Told;
use super::message::Outbound;
use super::transport::MessageWriter;
use crate::net::data::Query;

/// The loop that writes.
pub(super) struct Writing<'a, W> {
    pub(super) connection: &'a Connection,
    pub(super) writer: W,
    pub(super) outbox: mpsc::Receiver<ToWriter>,
    pub(super) nonces: SplitMix64,
    /// The ping that waits for its pong, and since when.
    pub(super) ping: Option<(u64, Instant)>,
}

impl<W: MessageWriter> Writing<'_, W> {
    /// Writes until the connection ends.
    pub(super) async fn run(mut self) -> CloseReason {
        let config = self.connection.config;
        let mut next_ping = Instant::now() + config.ping_every;
        loop {
            let deadline = match self.ping {
                // A pong queues behind what was asked for, and that may be much.
                Some((_, sent)) => {
                    sent.max(self.connection.awaited.progress().last()) + config.pong_within
                }
                None => next_ping,
            };
            let outcome = tokio::select! {
                Some(item) = self.outbox.recv() => self.handle(item).await,
                () = sleep_until(deadline) => match self.ping {
                    Some(_) if self.is_receiving() => Ok(()),
                    Some(_) => Err(CloseReason::PingTimeout { within: config.pong_within }),
                    None => {
                        next_ping = Instant::now() + config.ping_every;
                        self.send_ping().await
                    }
                },
            };
            if let Err(reason) = outcome {
                return reason;
            }
        }
    }

    async fn handle(&mut self, item: ToWriter) -> Result<(), CloseReason> {
        match item {
            ToWriter::Send(message) => self.send(message).await,
            ToWriter::Ask(message, answered) => self.ask(message, answered).await,
            ToWriter::Query(query, told) => self.query(query, told).await,
            ToWriter::Announce { txid, by_wtxid } => {
                match self.connection.relaying.announce(txid, by_wtxid) {
                    Some(message) => self.send(message).await,
                    None => Ok(()),
                }
            }
            ToWriter::Serve(messages) => {
                for message in messages {
                    self.send(message).await?;
                }
                Ok(())
            }
            ToWriter::Pong(nonce) => {
                if let Some((_, sent)) = self.ping.take_if(|(expected, _)| *expected == nonce) {
                    let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.connection.traffic.ping_micros.store(micros.max(1), Ordering::Relaxed);
                }
                Ok(())
            }
        }
    }

    async fn send_ping(&mut self) -> Result<(), CloseReason> {
        let nonce = self.nonces.next_u64();
        self.ping = Some((nonce, Instant::now()));
        self.send(Outbound::Ping(nonce)).await
    }

    async fn ask(
        &mut self,
        message: Outbound,
        answered: oneshot::Sender<()>,
    ) -> Result<(), CloseReason> {
        // Before it is sent: the answer may be quick.
        self.connection.awaited.expect_headers(answered);
        self.send(message).await
    }

    async fn query(&mut self, query: Query, told: Told) -> Result<(), CloseReason> {
        match question(&query) {
            // Given up while it waited for its turn.
            _ if told.is_closed() => Ok(()),
            Some(message) => {
                self.connection.awaited.expect(query, told);
                self.send(message).await
            }
            None => Ok(()),
        }
    }

    /// Whether blocks or filters came lately.
    fn is_receiving(&self) -> bool {
        let last = self.connection.awaited.progress().last();
        last + self.connection.config.pong_within > Instant::now()
    }

    async fn send(&mut self, message: Outbound) -> Result<(), CloseReason> {
        let within = self.connection.config.write_within;
        match timeout(within, self.writer.send(&message)).await {
            Ok(Ok(_bytes)) => Ok(()),
            Ok(Err(error)) => Err(CloseReason::Transport(error)),
            Err(_) => Err(CloseReason::NotReading),
        }
    }
}
