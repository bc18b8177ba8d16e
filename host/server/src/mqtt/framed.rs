//! Packets over a byte stream, in batches: one read brings many packets, one write takes all answers.
//!
//! A resting connection owns no buffer. Bytes are read into a buffer that all links of a worker
//! thread share; only the beginning of a packet that has not come whole is kept.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::RawFd,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use postern_broker::wire::{
    DecodeError, Decoded, Decoder, EncodeError, Packet, Side, Version, encode_within,
};

use crate::listen::wire::Wire;

/// What one read takes at most.
const READ: usize = 64 << 10;
/// The largest packet of a peer that has not said who it is: a CONNECT with the largest will.
const STRANGER: u32 = 256 << 10;
/// What may wait to be written before nothing more is read or drained: a peer that never reads
/// stops itself.
pub const UNSENT: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection that speaks packets.
pub struct Framed {
    wire: Wire,
    decoder: Decoder,
    max_packet: u32,
    /// The largest packet that the peer takes, in bytes.
    peer_takes: u32,
    partial: BytesMut,
    unsent: BytesMut,
    needs_flush: bool,
}

/// How a connection's input ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed, or the network did.
    Gone(io::Error),
    /// What came is not MQTT, or breaks its rules.
    Refused(DecodeError),
}

impl Framed {
    /// Packets of at most `max_packet` bytes over `wire`; a CONNECT must come first.
    pub fn new(wire: Wire, max_packet: u32) -> Self {
        let decoder =
            Decoder { version: None, max_packet_size: max_packet.min(STRANGER), side: Side::Server };
        Framed {
            wire,
            decoder,
            max_packet,
            peer_takes: u32::MAX,
            partial: BytesMut::new(),
            unsent: BytesMut::new(),
            needs_flush: false,
        }
    }

    /// What the CONNECT has told: the version, and the largest packet that the peer takes, in bytes.
    pub fn learn(&mut self, version: Version, max_packet_size: Option<u32>) {
        self.decoder.version = Some(version);
        self.peer_takes = max_packet_size.unwrap_or(u32::MAX);
    }

    /// The socket underneath, and whether its TLS handshake resumed an earlier one; None on plain.
    pub fn socket(&self) -> (RawFd, Option<bool>) {
        self.wire.socket()
    }

    /// The peer has signed in: packets up to the configured size.
    pub fn trust(&mut self) {
        self.decoder.max_packet_size = self.max_packet;
    }

    /// Reads once, decodes all packets that came whole, and gives the number of bytes. Packets decoded before a fault are in
    /// `packets` all the same.
    pub fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        packets: &mut Vec<Packet>,
    ) -> Poll<Result<usize, End>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let n = match ready!(self.wire.poll_read(cx, scratch)) {
                Ok(0) => return Poll::Ready(Err(End::Gone(io::ErrorKind::UnexpectedEof.into()))),
                Ok(n) => n,
                Err(e) => return Poll::Ready(Err(End::Gone(e))),
            };
            let fresh = scratch.get(..n).unwrap_or_default();
            if self.partial.is_empty() {
                let used = decode_all(&self.decoder, fresh, packets)?;
                self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
            } else {
                self.partial.extend_from_slice(fresh);
                self.decode_partial(packets)?;
            }
            Poll::Ready(Ok(n))
        })
    }

    fn decode_partial(&mut self, packets: &mut Vec<Packet>) -> Result<(), End> {
        let used = decode_all(&self.decoder, &self.partial, packets)?;
        if used == self.partial.len() {
            self.partial = BytesMut::new(); // give the memory back
        } else {
            self.partial.advance(used);
        }
        Ok(())
    }

    /// The next packet alone, for the sign-in: what follows it stays.
    ///
    /// # Errors
    /// When the connection ends or is refused.
    pub async fn next(&mut self) -> Result<Packet, End> {
        loop {
            if let Decoded::Packet { packet, consumed } =
                self.decoder.decode(&self.partial).map_err(End::Refused)?
            {
                self.partial.advance(consumed);
                return Ok(packet);
            }
            poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|scratch| match ready!(self.wire.poll_read(cx, scratch)) {
                    Ok(0) => Poll::Ready(Err(End::Gone(io::ErrorKind::UnexpectedEof.into()))),
                    Ok(n) => {
                        self.partial.extend_from_slice(scratch.get(..n).unwrap_or_default());
                        Poll::Ready(Ok(()))
                    }
                    Err(e) => Poll::Ready(Err(End::Gone(e))),
                })
            })
            .await?;
        }
    }

    /// What came after the sign-in's packets, before any read.
    ///
    /// # Errors
    /// When it is not MQTT.
    pub fn leftover(&mut self, packets: &mut Vec<Packet>) -> Result<(), End> {
        self.decode_partial(packets)
    }

    /// Where output is encoded to.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.unsent
    }

    /// Whether the peer takes so little that nothing more should be made for it.
    pub fn is_clogged(&self) -> bool {
        self.unsent.len() >= UNSENT
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_empty() && !self.needs_flush
    }

    /// Drops what waits to be written.
    pub fn forget_unsent(&mut self) {
        self.unsent = BytesMut::new();
    }

    /// Writes what waits, as far as the peer takes it.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(self.wire.poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.unsent.advance(n),
            }
            self.needs_flush = true;
        }
        if self.needs_flush {
            ready!(self.wire.poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives buffers back: a resting link owns none.
    pub fn rest(&mut self) {
        if self.unsent.is_empty() && self.unsent.capacity() > 0 {
            self.unsent = BytesMut::new();
        }
    }

    /// Writes one packet whole, without what the peer has no room for [MQTT-3.2.2-19, 3.14.2-3]; one
    /// that is too large even so is dropped as if it had been sent [MQTT-3.1.2-25].
    ///
    /// # Errors
    /// When the network fails.
    pub async fn send(&mut self, packet: &Packet, version: Version) -> io::Result<()> {
        match encode_within(packet, version, self.peer_takes, &mut self.unsent) {
            Ok(()) | Err(EncodeError::TooLarge { .. }) => {}
            Err(e) => return Err(io::Error::other(e)),
        }
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Writes what waits and ends the stream.
    ///
    /// # Errors
    /// When the network fails.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await?;
        poll_fn(|cx| self.wire.poll_shutdown(cx)).await
    }

    /// Reads what still comes, unseen, until the peer has closed: a socket that is closed with something unread resets
    /// the connection, and the peer may lose what it was told last.
    ///
    /// # Errors
    /// When the network fails.
    pub async fn linger(&mut self) -> io::Result<()> {
        let mut read =
            |cx: &mut Context<'_>| SCRATCH.with_borrow_mut(|scratch| self.wire.poll_read(cx, scratch));
        while poll_fn(&mut read).await? > 0 {}
        Ok(())
    }
}

/// Decodes whole packets; gives how many bytes they took.
fn decode_all(decoder: &Decoder, bytes: &[u8], packets: &mut Vec<Packet>) -> Result<usize, End> {
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        match decoder.decode(rest).map_err(End::Refused)? {
            Decoded::Packet { packet, consumed } => {
                packets.push(packet);
                used += consumed;
            }
            Decoded::Incomplete { .. } => return Ok(used),
        }
    }
}
