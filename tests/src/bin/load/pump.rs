//! A client's end of a link, in batches: one read brings many packets, one write takes many.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use postern_broker::wire::{
    Connect, Decoded, Decoder, Packet, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Version,
    encode,
};
use postern_tests::text;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::frames::{self, Frame};

/// The largest packet taken, bytes.
const MAX_PACKET: u32 = 1 << 20;
/// What one read brings at most, bytes.
const READ: usize = 64 << 10;

/// One link.
pub(crate) struct Line<S> {
    stream: S,
    decoder: Decoder,
    input: BytesMut,
    /// Packets to be written by the next [`Line::flush`].
    pub(crate) output: BytesMut,
    /// The link's version.
    pub(crate) version: Version,
}

/// A TCP connection without Nagle's algorithm.
pub(crate) async fn tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Signs in on a connection.
    pub(crate) async fn open(stream: S, connect: Connect) -> Result<Self> {
        Line::resume(stream, connect).await.map(|(line, _)| line)
    }

    /// The same; and whether the server still had a session.
    pub(crate) async fn resume(stream: S, connect: Connect) -> Result<(Self, bool)> {
        let version = connect.version;
        let decoder = Decoder::client(version, MAX_PACKET);
        let mut line = Line { stream, decoder, input: BytesMut::new(), output: BytesMut::new(), version };
        line.send(&Packet::Connect(Box::new(connect)))?;
        line.flush().await?;
        match line.packet().await? {
            Packet::ConnAck(ack) if ack.reason == ReasonCode::Success => Ok((line, ack.session_present)),
            other => bail!("the CONNECT was answered by {other:?}"),
        }
    }

    /// Subscribes to one filter.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<()> {
        self.put_subscribe(&[filter], qos)?;
        self.flush().await?;
        loop {
            if let Packet::SubAck(ack) = self.packet().await? {
                ensure!(ack.reasons.iter().all(|reason| !reason.is_error()), "SUBACK: {:?}", ack.reasons);
                return Ok(());
            }
        }
    }

    /// Puts one SUBSCRIBE for these filters to what is to be written.
    pub(crate) fn put_subscribe(&mut self, filters: &[&str], qos: QoS) -> Result<()> {
        let filter = |filter: &&str| SubscribeFilter {
            filter: text(filter),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        };
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: std::num::NonZeroU16::MAX,
            subscription_id: None,
            user_properties: Vec::new(),
            filters: filters.iter().map(filter).collect(),
        }))
    }

    /// Puts a packet to what is to be written.
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<()> {
        encode(packet, self.version, &mut self.output).context("encode")
    }

    /// Writes what there is to write.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// Waits for more bytes, once.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.input.reserve(READ);
        let read = self.stream.read_buf(&mut self.input).await?;
        ensure!(read > 0, "the server has closed the link");
        Ok(())
    }

    /// The next packet that has come whole; a DISCONNECT is an error.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>> {
        match self.next_of_all()? {
            Some(Packet::Disconnect(farewell)) => bail!("the server said {farewell:?}"),
            packet => Ok(packet),
        }
    }

    /// The next packet that has come whole, whichever it is.
    pub(crate) fn next_of_all(&mut self) -> Result<Option<Packet>> {
        if self.input.is_empty() {
            return Ok(None);
        }
        match self.decoder.decode(&self.input).context("decode")? {
            Decoded::Incomplete { .. } => Ok(None),
            Decoded::Packet { packet, consumed } => {
                self.input.advance(consumed);
                Ok(Some(packet))
            }
        }
    }

    /// Gives every packet that has come whole to `each`, undecoded, with the buffer for answers; how
    /// many there were.
    pub(crate) fn scan(
        &mut self,
        mut each: impl FnMut(Frame<'_>, &mut BytesMut) -> Result<()>,
    ) -> Result<usize> {
        let (mut at, mut packets) = (0, 0);
        while let Some((frame, len)) = frames::first(self.input.get(at..).unwrap_or_default())? {
            each(frame, &mut self.output)?;
            at += len;
            packets += 1;
        }
        self.input.advance(at);
        Ok(packets)
    }

    /// Waits for the next packet.
    pub(crate) async fn packet(&mut self) -> Result<Packet> {
        loop {
            if let Some(packet) = self.next()? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    /// Says goodbye, so that the server need not wait for the link to fail.
    pub(crate) async fn close(mut self) {
        self.farewell().await;
    }

    /// The same, and leaves the stream to look at.
    pub(crate) async fn farewell(&mut self) {
        let farewell = [0xe0, 0]; // DISCONNECT of 3.1.1, and of 5 with reason 0
        self.output.extend_from_slice(&farewell);
        if self.flush().await.is_ok() {
            self.stream.shutdown().await.ok();
        }
    }

    /// What carries the link.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Bytes that have come and are not decoded yet.
    pub(crate) fn undecoded(&self) -> usize {
        self.input.len()
    }
}
