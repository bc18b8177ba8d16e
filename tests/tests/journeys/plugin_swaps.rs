//! C2 under load: `ACTIVATIONS=1000 cargo nextest run --workspace -E 'test(c2_many_activations)'` makes it long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_tests::{Postern, body};
use tokio::sync::mpsc;

/// Who talk, each to a listener of his own.
const PAIRS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn c2_many_activations_under_load_lose_double_and_disconnect_nothing() {
    let activations = std::env::var("ACTIVATIONS").map_or(50, |text| text.parse::<u32>().expect("a number"));
    let source = postern_tests::root().join("target/plugins/classify-topic.wasm");
    let postern = Postern::start(|settings| settings.plugin("classify-topic", &source)).await;
    let good = std::fs::read(&source).unwrap();
    let file = postern.folder().join("plugins/classify-topic.wasm");

    let stop = Arc::new(AtomicBool::new(false));
    let mut talks = Vec::new();
    for pair in 0..PAIRS {
        let (from, to) = (format!("from{pair}"), format!("to{pair}"));
        let mut sender = postern.session(&from, "phone").await;
        let mut receiver = postern.session(&to, "pc").await;
        let (stop, topic) = (stop.clone(), format!("im/u/{to}/{from}"));
        let (counted, mut count) = mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let publish = sender.start(&topic, &format!("m{sent}"), &sent.to_string()).await;
                let ack = sender.acknowledged(publish).await;
                assert!((ack.reason as u8) < 0x80, "{ack:?}");
                counted.send(()).unwrap();
                sent += 1;
            }
            (sender, sent)
        });
        let receiving = tokio::spawn(async move {
            let mut next = 0_u64;
            while count.recv().await.is_some() {
                // In order, each once: a lost or doubled one would be another number.
                assert_eq!(body(&receiver.message().await), next.to_string());
                next += 1;
            }
            assert_eq!(receiver.messages_so_far().await, []);
            (receiver, next)
        });
        talks.push((sending, receiving));
    }

    for n in 0..activations {
        // Two builds in turn, so that each activation is of other code.
        let mut bytes = good.clone();
        bytes.extend([0, 3, 1, b'v', u8::try_from(n % 2).unwrap()]);
        std::fs::write(&file, bytes).unwrap();
        postern.done(&["plugin", "activate", "classify-topic"]).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = 0;
    for (sending, receiving) in talks {
        let ((_sender, sent), (_receiver, received)) = (sending.await.unwrap(), receiving.await.unwrap());
        assert!(sent > 0 && sent == received, "{sent} sent, {received} received");
        all += sent;
    }
    println!("{activations} activations, {all} messages");
    let failed = ["trapped", "slow", "busy", "recovering", "nonsense", "failed", "unavailable"];
    for outcome in failed {
        let count = postern.metric("postern_plugin_calls_total", &format!("outcome=\"{outcome}\"")).await;
        assert_eq!(count, 0.0, "{outcome}");
    }
}
