//! What a socket has carried, told by the kernel: an idle link costs nothing for it, and what TLS and
//! TCP add is counted as it was.
//!
//! The one module of the crate with `unsafe`: no library in the tree asks for `TCP_INFO` as far as the
//! byte counters (Linux 4.19 and later).
#![allow(unsafe_code)]

use std::{
    mem::{offset_of, size_of},
    net::{IpAddr, SocketAddr},
    os::fd::RawFd,
};

/// The beginning of Linux' `struct tcp_info` (include/uapi/linux/tcp.h), which only ever grows.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct TcpInfo {
    state: [u8; 5],
    options: u8,
    scales: [u8; 2],
    words: [u32; 24],
    rates: [u64; 2],
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery: [u64; 4],
    delivered: [u32; 2],
    bytes_sent: u64,
}

const _: () = assert!(offset_of!(TcpInfo, bytes_acked) == 120 && offset_of!(TcpInfo, bytes_sent) == 200);

/// `TCPI_OPT_TIMESTAMPS`.
const TIMESTAMPS: u8 = 1;

/// What a connection has carried so far, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes on the wire from the first SYN on, headers of IP and TCP included.
    pub bytes: u64,
    /// Segments with data.
    pub segments: u64,
    /// Headers of one segment, in bytes.
    pub header: u32,
}

/// Asks the kernel; None when it does not know the socket or the counters.
///
/// The descriptor may be closed by now, and even another connection's: then the figures are wrong, or there
/// are none.
pub fn of(socket: RawFd, peer: SocketAddr) -> Option<Traffic> {
    let mut info = TcpInfo::default();
    let mut length = libc::socklen_t::try_from(size_of::<TcpInfo>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is plain numbers; a descriptor
    // that is no TCP socket is an error.
    let done = unsafe {
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    if done != 0 || usize::try_from(length).ok()? < size_of::<TcpInfo>() {
        return None;
    }
    let is_v4 = match peer.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    };
    let ip = if is_v4 { 20 } else { 40 };
    let header = ip + 20 + if info.options & TIMESTAMPS == 0 { 0 } else { 12 };
    let segments = u64::from(info.segs_in) + u64::from(info.segs_out);
    Some(Traffic {
        bytes: info.bytes_received + info.bytes_sent + segments * u64::from(header),
        segments: u64::from(info.data_segs_in) + u64::from(info.data_segs_out),
        header,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn b15_bytes_and_segments_are_counted_both_ways() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut here, peer) = listener.accept().unwrap();
        let before = of(here.as_raw_fd(), peer).unwrap();
        assert!([40, 52].contains(&before.header), "{before:?}");
        there.write_all(&[7; 100]).unwrap();
        here.read_exact(&mut [0; 100]).unwrap();
        here.write_all(&[7; 50]).unwrap();
        there.read_exact(&mut [0; 50]).unwrap();
        let after = of(here.as_raw_fd(), peer).unwrap();
        assert_eq!(after.segments - before.segments, 2);
        let grown = after.bytes - before.bytes;
        let least = 150 + 2 * u64::from(after.header);
        assert!((least..=least + 2 * u64::from(after.header)).contains(&grown), "{grown}");
        assert_eq!(of(-1, peer), None, "no socket");
    }
}
