//! Shared subscriptions (5.0, section 4.8.2).

use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{body, connect};

use super::*;

const GROUP: &str = "$share/group/t";

/// 5.0: MQTT-4.8.2-1, MQTT-4.8.2-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_a_name_and_a_filter() {
    let postern = open().await;
    let mut peer = client(&postern, "c").await;
    for bad in [
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share/+/t",
        "$share/#/t",
        "$share/a+b/t",
    ] {
        assert_eq!(peer.subscribe(bad, QOS[0]).await, ReasonCode::TopicFilterInvalid, "{bad}");
    }
    for good in ["$share/g/t", "$share/g//", "$share/\u{e9}/t/#", "$share/$share/t", "$share/g/+"] {
        assert_eq!(peer.subscribe(good, QOS[0]).await, ReasonCode::Success, "{good}");
    }
}

/// 5.0: MQTT-4.8.2-3. Each message goes to one member of each group, in the QoS that member was granted,
/// and besides to who subscribed alone.
#[tokio::test(flavor = "multi_thread")]
async fn each_message_goes_to_one_member_of_a_group() {
    let postern = open().await;
    let mut members = Vec::new();
    for (n, qos) in QOS.into_iter().enumerate() {
        members.push((qos, subscriber(&postern, &format!("member {n}"), GROUP, qos).await));
    }
    let mut alone = subscriber(&postern, "alone", "t", QoS::AtMostOnce).await;
    let mut other = subscriber(&postern, "other", "$share/other/t", QoS::AtMostOnce).await;
    let mut sender = client(&postern, "sender").await;
    for n in 0..30 {
        deliver(&mut sender, "t", n.to_string(), QoS::ExactlyOnce).await;
        for peer in [&mut alone, &mut other] {
            assert_eq!(body(&next(peer).await), n.to_string());
        }
    }
    let mut seen = Vec::new();
    for (qos, member) in &mut members {
        for packet in everything(member).await {
            let Packet::Publish(publish) = packet else { panic!("expected PUBLISH, got {packet:?}") };
            assert_eq!(publish.qos, *qos);
            seen.push(body(&publish).parse::<usize>().unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>(), "each once");
}

/// Section 4.8.2: a subscription is the session's. A takeover does not leave the group, and what the old
/// link had not acknowledged comes to the new one, not to another member [MQTT-4.8.2-4].
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_taken_over_keeps_its_messages() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for clean in [false, true] {
        let (mut old, _) = join(&postern, durable(Version::V5, "member")).await;
        old.subscribe(GROUP, QoS::ExactlyOnce).await;
        let mut unacknowledged = Vec::new();
        for n in 0..4 {
            deliver(&mut sender, "t", n.to_string(), QOS[1 + n % 2]).await;
            unacknowledged.push(next(&mut old).await);
        }
        let mut heir = subscriber(&postern, "heir", GROUP, QoS::ExactlyOnce).await;
        let again = Connect { clean_start: clean, ..durable(Version::V5, "member") };
        let (mut new, ack) = join(&postern, again).await;
        assert_eq!(
            (ack.session_present, ended(&mut old).await),
            (!clean, Some(ReasonCode::SessionTakenOver))
        );
        if clean {
            // The session has ended: QoS 1 goes to another member, QoS 2 to nobody [MQTT-4.8.2-5].
            for n in ["0", "2"] {
                assert_eq!(body(&take(&mut heir).await), n);
            }
        } else {
            for former in unacknowledged {
                let again = next(&mut new).await;
                assert_eq!(
                    (body(&again), again.packet_id, again.dup),
                    (body(&former), former.packet_id, true)
                );
            }
        }
        for peer in [&mut new, &mut heir] {
            assert_eq!(everything(peer).await, []);
        }
        leave(&mut heir).await;
        join(&postern, connect(Version::V5, "member")).await; // the session is over
    }
}

/// 5.0: MQTT-4.8.2-4, MQTT-4.8.2-5. A member that loses its link may come back and finish; when its session
/// ends instead, others get its QoS 1 messages and nobody its QoS 2 ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_members_unacknowledged_messages_go_to_another() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut member, _) = join(&postern, durable(Version::V5, "member")).await;
    member.subscribe(GROUP, QoS::ExactlyOnce).await;
    for n in 0..4 {
        deliver(&mut sender, "t", n.to_string(), QOS[1 + n % 2]).await;
        next(&mut member).await;
    }
    let mut heir = subscriber(&postern, "heir", GROUP, QoS::ExactlyOnce).await;
    member.cut().await;
    assert_eq!(everything(&mut heir).await, [], "it may come back");
    let (mut member, _) = join(&postern, durable(Version::V5, "member")).await;
    for n in 0..4 {
        let again = next(&mut member).await;
        assert_eq!((body(&again), again.dup), (&*n.to_string(), true));
    }
    let end = postern_broker::wire::Disconnect { session_expiry: Some(0), ..Default::default() };
    leave_with(&mut member, end).await;
    for n in ["0", "2"] {
        assert_eq!(body(&take(&mut heir).await), n);
    }
    assert_eq!(everything(&mut heir).await, []);
}

/// 5.0: MQTT-4.8.2-6. A message that one member refuses is given to no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_member_refuses_goes_to_nobody() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut picky = subscriber(&postern, "picky", GROUP, QoS::ExactlyOnce).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        deliver(&mut sender, "t", "m", qos).await;
    }
    let (one, two) = (next(&mut picky).await, next(&mut picky).await);
    let mut other = subscriber(&postern, "other", GROUP, QoS::ExactlyOnce).await;
    let refusal = |id: Option<PacketId>| Ack::new(id.unwrap(), ReasonCode::UnspecifiedError);
    picky.send(Packet::PubAck(refusal(one.packet_id))).await;
    picky.send(Packet::PubRec(refusal(two.packet_id))).await;
    assert_eq!(everything(&mut picky).await, []);
    leave(&mut picky).await;
    assert_eq!(everything(&mut other).await, []);
}

/// Section 4.8.2: whoever leaves the group gets nothing of it any more; the last one ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_unsubscribes_leaves_the_group() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut stays = subscriber(&postern, "stays", GROUP, QoS::AtLeastOnce).await;
    let mut leaves = subscriber(&postern, "leaves", GROUP, QoS::AtLeastOnce).await;
    assert_eq!(unsubscribe(&mut leaves, &["t", GROUP]).await.last(), Some(&ReasonCode::Success));
    for n in 0..4 {
        deliver(&mut sender, "t", n.to_string(), QoS::AtLeastOnce).await;
        assert_eq!(body(&take(&mut stays).await), n.to_string());
    }
    assert_eq!(everything(&mut leaves).await, []);
    unsubscribe(&mut stays, &[GROUP]).await;
    let told = deliver(&mut sender, "t", "for nobody", QoS::AtLeastOnce).await;
    assert_eq!(told, ReasonCode::NoMatchingSubscribers);
}

/// Section 4.8.2: MQTT 3.1.1 clients may be members too, and subscription identifiers are each member's.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_any_version_share() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut old = older(&postern, "old").await;
    old.subscribe(GROUP, QoS::AtMostOnce).await;
    let mut new = client(&postern, "new").await;
    ask(&mut new, GROUP, Asked { qos: QoS::AtMostOnce, id: Some(5), ..Asked::default() }).await;
    for _ in 0..6 {
        deliver(&mut sender, "t", "m", QoS::AtLeastOnce).await;
    }
    let (to_old, to_new) = (everything(&mut old).await, everything(&mut new).await);
    assert_eq!(to_old.len() + to_new.len(), 6);
    assert!(!to_old.is_empty() && !to_new.is_empty());
    let has_id = |p: &Packet| matches!(p, Packet::Publish(p) if p.subscription_ids[..] == [5]);
    assert!(to_new.iter().all(has_id), "{to_new:?}");
}
