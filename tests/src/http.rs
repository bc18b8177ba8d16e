//! Plain HTTP pages, such as the health listener's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::patiently;

/// An answer.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Page {
    /// GET by HTTP/1.0, so that the end of the answer is the end of the stream.
    pub async fn get(address: &str, path: &str) -> Page {
        let asked = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = patiently(path, asked).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
        Page { status, body: body.to_owned() }
    }
}

/// The sum of a metric's values over all labels that contain `label`; 0 when there is none.
pub fn metric(page: &str, name: &str, label: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = page.lines().filter(of_name).filter(|line| line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
