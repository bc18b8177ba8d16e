//! The conversation: lines from the keyboard become messages, messages become lines.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use phone::sign_in::{options_v5, renew_v5, trust};
use phone::{Api, Broker, Device};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, Packet, PubAck, PubAckReason, PublishProperties,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use tokio::sync::mpsc;

use crate::screen::{self, Shown, say};

/// How long the server keeps our session when we are away, seconds: a week.
const SESSION_SECS: u32 = 7 * 24 * 3600;

/// A wait before each new attempt after the link was lost.
const RETRY: Duration = Duration::from_secs(1);

/// A line that the person typed.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Send { topic: String, body: String },
    History { with: String },
    Ask { terminal: String, class: String, body: String },
    Who,
    Quit,
    Unknown,
}

struct Chat {
    api: Api,
    device: Device,
    broker: Broker,
    client: AsyncClient,
    online: BTreeSet<String>,
    /// Bodies handed to the client that have no packet id yet, in order.
    handed: VecDeque<String>,
    /// Bodies sent and not acknowledged, by packet id.
    sent: HashMap<u16, String>,
    /// Ids of our messages: this start's time and a count.
    started: u64,
    count: u64,
}

/// Chats until `/quit` or the end of the input.
pub(crate) async fn run(api: Api, mut device: Device, listener: &str, ca: &[u8]) -> Result<()> {
    let broker = device.login().broker(listener).context("the server has no such listener")?.clone();
    let options = options_v5(&mut device, &broker, api.host(), &trust(ca)?, SESSION_SECS)?;
    let (client, mut events) = AsyncClient::new(options, 100);
    let started = phone::now_ms();
    let (online, handed, sent) = Default::default();
    let mut chat = Chat { api, device, broker, client, online, handed, sent, started, count: 0 };
    let mut lines = keyboard();
    loop {
        tokio::select! {
            event = events.poll() => match event {
                Ok(event) => chat.event(event),
                Err(error) => chat.lost(&mut events, &error).await?,
            },
            line = lines.recv(), if !chat.is_full() => match line.as_deref().map(|l| parse(l, &chat.device.login().user)) {
                None | Some(Line::Quit) => break,
                Some(line) => chat.typed(line).await?,
            },
        }
    }
    chat.leave(&mut events).await
}

impl Chat {
    fn event(&mut self, event: Event) {
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => {
                let listener = &self.broker.listener;
                let session = if ack.session_present { "session resumed" } else { "new session" };
                say(&format!("signed in as {} on {listener} ({session})", self.device.login().user));
            }
            Event::Incoming(Packet::Publish(publish)) => match screen::show(&publish) {
                Shown::Line(line) => println!("{line}"),
                Shown::Presence { user, online: true } => {
                    say(&format!("{user} is online"));
                    self.online.insert(user);
                }
                Shown::Presence { user, online: false } => {
                    say(&format!("{user} is offline"));
                    self.online.remove(&user);
                }
            },
            Event::Incoming(Packet::PubAck(ack)) => self.acknowledged(&ack),
            Event::Incoming(Packet::Disconnect(d))
                if d.reason_code != DisconnectReasonCode::NormalDisconnection =>
            {
                say(&format!("the server ends the link: {:?}", d.reason_code));
            }
            // A resumed session sends its packets again, under the ids they had.
            Event::Outgoing(Outgoing::Publish(id)) if !self.sent.contains_key(&id) => {
                if let Some(body) = self.handed.pop_front() {
                    self.sent.insert(id, body);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, ack: &PubAck) {
        let Some(body) = self.sent.remove(&ack.pkid) else { return };
        match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => say(&format!("stored: {body}")),
            refused => {
                let why = ack.properties.as_ref().and_then(|p| p.reason_string.as_deref()).unwrap_or("");
                say(&format!("refused ({refused:?}) {why}: {body}"));
            }
        }
    }

    async fn typed(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Send { topic, body } => {
                self.count += 1;
                let id = format!("{}-{}", self.started, self.count);
                let user_properties = vec![("id".to_owned(), id)];
                let properties = PublishProperties { user_properties, ..Default::default() };
                self.handed.push_back(body.clone());
                self.client.publish_with_properties(topic, QoS::AtLeastOnce, false, body, properties).await?;
            }
            Line::History { with } => {
                let (api, token) = (&self.api, &self.device.login().token);
                match tokio::task::block_in_place(|| api.history(token, &with, None)) {
                    Ok(page) => {
                        page.messages.iter().rev().for_each(screen::history);
                        say(&format!("history with {with}: {} messages", page.messages.len()));
                    }
                    Err(error) => say(&format!("no history: {error}")),
                }
            }
            Line::Ask { terminal, class, body } => {
                let (api, token) = (&self.api, &self.device.login().token);
                let command = serde_json::json!({ "terminal": terminal, "class": class, "body": body });
                let asked = tokio::task::block_in_place(|| {
                    api.post::<serde_json::Value>(token, "/v1/commands", &command)
                });
                match asked {
                    Ok(_) => say(&format!("asked {terminal}: {body}")),
                    Err(error) => say(&format!("not asked: {error}")),
                }
            }
            Line::Who => {
                let online: Vec<&str> = self.online.iter().map(String::as_str).collect();
                say(&format!("online: {}", online.join(" ")));
            }
            Line::Quit => {}
            Line::Unknown => say(
                "type `bob: hello`, `#group: hello`, `/ask car-1 remote-control unlock`, `/history bob`, `/who` or `/quit`",
            ),
        }
        Ok(())
    }

    /// The link is gone. A proof is good once, so the next CONNECT needs a new one.
    async fn lost(&mut self, events: &mut EventLoop, error: &ConnectionError) -> Result<()> {
        use ConnectReturnCode::{ConnectionRateExceeded, ServerBusy, ServerUnavailable};
        match error {
            ConnectionError::ConnectionRefused(ServerUnavailable | ServerBusy | ConnectionRateExceeded) => {
                say("the server cannot let us in now, trying again");
            }
            ConnectionError::ConnectionRefused(why) => {
                bail!("sign-in refused ({why:?}): log in anew with --login")
            }
            _ => say("link lost, coming back"),
        }
        tokio::time::sleep(RETRY).await;
        renew_v5(&mut self.device, &self.broker, &mut events.options)?;
        Ok(())
    }

    /// No more lines are read while too many messages wait for their acknowledgement.
    fn is_full(&self) -> bool {
        self.handed.len() + self.sent.len() >= 100
    }

    /// Waits until what was sent is stored, says goodbye, and lets the server close.
    async fn leave(mut self, events: &mut EventLoop) -> Result<()> {
        while !self.handed.is_empty() || !self.sent.is_empty() {
            match events.poll().await {
                Ok(event) => self.event(event),
                Err(error) => self.lost(events, &error).await?,
            }
        }
        self.client.disconnect().await?;
        while let Ok(event) = events.poll().await {
            if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                break;
            }
        }
        say("goodbye");
        Ok(())
    }
}

/// Lines from stdin, by a thread: reading a terminal cannot be cancelled.
fn keyboard() -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn parse(line: &str, user: &str) -> Line {
    let line = line.trim();
    if let Some(command) = line.strip_prefix('/') {
        return match command.split_once(' ').unwrap_or((command, "")) {
            ("history", with) if !with.is_empty() => Line::History { with: with.trim().to_owned() },
            ("ask", asked) => {
                let mut words = asked.splitn(3, ' ').map(str::to_owned);
                match (words.next(), words.next(), words.next()) {
                    (Some(terminal), Some(class), Some(body)) => Line::Ask { terminal, class, body },
                    _ => Line::Unknown,
                }
            }
            ("who", "") => Line::Who,
            ("quit", "") => Line::Quit,
            _ => Line::Unknown,
        };
    }
    match line.split_once(':').map(|(to, body)| (to.trim(), body.trim().to_owned())) {
        Some((to, body)) if !to.is_empty() => {
            let topic = match to.strip_prefix('#') {
                Some(group) => format!("im/g/{group}/{user}"),
                None => format!("im/u/{to}/{user}"),
            };
            Line::Send { topic, body }
        }
        _ => Line::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let send = |topic: &str, body: &str| Line::Send { topic: topic.to_owned(), body: body.to_owned() };
        assert_eq!(parse("bob: hello: you", "alice"), send("im/u/bob/alice", "hello: you"));
        assert_eq!(parse("#ops: hi", "alice"), send("im/g/ops/alice", "hi"));
        assert_eq!(parse("/history bob", "alice"), Line::History { with: "bob".to_owned() });
        let [terminal, class, body] = ["car-1", "remote-control", "lamp on"].map(str::to_owned);
        let ask = Line::Ask { terminal, class, body };
        assert_eq!(parse("/ask car-1 remote-control lamp on", "alice"), ask);
        assert_eq!(parse("/ask car-1 unlock", "alice"), Line::Unknown);
        assert_eq!(parse("/quit", "alice"), Line::Quit);
        assert_eq!(parse("hello", "alice"), Line::Unknown);
        assert_eq!(parse("/nonsense", "alice"), Line::Unknown);
    }
}
