//! What a connection has carried, as the kernel counts it: `TCP_INFO` of tcp(7), RFC 4898.
#![allow(unsafe_code, reason = "one getsockopt that neither std nor rustix has")]

use std::io;
use std::ops::{Add, Sub};
use std::os::fd::AsRawFd;

use tokio::net::TcpStream;

/// Bytes of the IPv4 header and the TCP header with timestamps: what each segment weighs beside its payload.
const HEADERS: u64 = 52;
/// `struct tcp_info` as far as Linux 4.2 has it.
const LENGTH: usize = 144;
/// Its fields, at their offsets: `tcpi_bytes_acked` and `tcpi_bytes_received` (64 bits), `tcpi_segs_out` and
/// `tcpi_segs_in` (32 bits).
const ACKED: usize = 120;
const RECEIVED: usize = 128;
const SEGMENTS_OUT: usize = 136;
const SEGMENTS_IN: usize = 140;

/// What passed on one or more connections, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Payload of TCP.
    pub(crate) bytes: u64,
    /// Those without payload too.
    pub(crate) segments: u64,
}

impl Carried {
    /// On the wire, on IPv4 with timestamps.
    pub(crate) fn weight(self) -> u64 {
        self.bytes + HEADERS * self.segments
    }

    /// So far, on this connection.
    ///
    /// # Errors
    /// The kernel's, or that it tells too little.
    pub(crate) fn on(stream: &TcpStream) -> io::Result<Self> {
        let mut info = [0_u8; LENGTH];
        let mut length = libc::socklen_t::try_from(LENGTH).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to `info`, which is that long and plain bytes;
        // the descriptor is open while `stream` is borrowed.
        let status = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        if usize::try_from(length).unwrap_or_default() < LENGTH {
            return Err(io::Error::other("TCP_INFO has no counts of segments"));
        }
        let long = |at: usize| info.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
        let short =
            |at: usize| info.get(at..)?.first_chunk().map(|bytes| u64::from(u32::from_ne_bytes(*bytes)));
        let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or_default() + b.unwrap_or_default();
        Ok(Carried {
            bytes: sum(long(ACKED), long(RECEIVED)),
            segments: sum(short(SEGMENTS_OUT), short(SEGMENTS_IN)),
        })
    }
}

impl Add for Carried {
    type Output = Carried;

    fn add(self, other: Carried) -> Carried {
        Carried { bytes: self.bytes + other.bytes, segments: self.segments + other.segments }
    }
}

impl Sub for Carried {
    type Output = Carried;

    fn sub(self, other: Carried) -> Carried {
        Carried {
            bytes: self.bytes.saturating_sub(other.bytes),
            segments: self.segments.saturating_sub(other.segments),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_counts_what_passes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let before = Carried::on(&client).unwrap();
        client.write_all(&[1; 100]).await.unwrap();
        server.read_exact(&mut [0; 100]).await.unwrap();
        server.write_all(&[2; 50]).await.unwrap();
        client.read_exact(&mut [0; 50]).await.unwrap();
        let passed = Carried::on(&client).unwrap() - before;
        assert_eq!(passed.bytes, 150);
        assert!((2..=4).contains(&passed.segments), "{passed:?}");
        assert_eq!(passed.weight(), 150 + 52 * passed.segments);
    }
}
