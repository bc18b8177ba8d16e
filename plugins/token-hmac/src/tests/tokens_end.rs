//! How tokens end before their time: by family, in pages, for want of room.

use super::*;

fn again(host: &Memory, settings: &Settings, token_id: &str, at: u64) -> String {
    tokens::renew(host, settings, token_id, holder("alice", "phone"), at).unwrap().token_id
}

fn is_good(host: &Memory, token_id: &str) -> bool {
    tokens::load(host, token_id).unwrap().is_some_and(|record| record.is_good(NOW))
}

#[test]
fn any_token_of_a_login_takes_the_others_along() {
    let settings = Settings::default();
    for logged_out in 0..3 {
        let host = Memory::default();
        let first = issue(&host, &settings).token_id;
        let second = again(&host, &settings, &first, NOW + 1);
        let third = again(&host, &settings, &second, NOW + 2);
        let another_login = issue(&host, &settings).token_id;
        let family = [first, second, third];
        let mut ended = tokens::revoke(&host, &Selector::Token(family[logged_out].clone())).unwrap();
        ended.sort();
        assert_eq!(ended, family);
        assert!(family.iter().all(|token| !is_good(&host, token)) && is_good(&host, &another_login));
    }
}

#[test]
fn the_grant_and_the_answer_name_the_login() {
    let (host, settings) = (Memory::default(), Settings { lifetime_secs: 10, ..Settings::default() });
    let first = issue(&host, &settings);
    let renewed = tokens::renew(&host, &settings, &first.token_id, holder("alice", "phone"), NOW + 9_000);
    let renewed = renewed.unwrap();
    let attempt =
        Attempt { now: NOW + 12_000, ..attempt(tls(), password(&renewed.token_id, &renewed.bearer)) };
    assert_eq!(granted(verify(&host, &settings, &attempt)).family, Some(first.token_id.clone()));
    // The first has ended by itself, and its place in the index with it.
    host.map.borrow_mut().remove(&format!("u/alice/phone/{}", first.token_id));
    let ended = tokens::revoke(&host, &Selector::Token(renewed.token_id.clone())).unwrap();
    assert!(ended.contains(&first.token_id) && ended.contains(&renewed.token_id), "{ended:?}");
}

#[test]
fn a_renewal_takes_what_is_known_now_and_never_another_holder() {
    let (host, settings) = (Memory::default(), Settings::default());
    let token = issue(&host, &settings).token_id;
    let mut now_in = holder("alice", "phone");
    now_in.profile.org = "globex".into();
    now_in.partners.clear();
    let renewed = tokens::renew(&host, &settings, &token, now_in, NOW).unwrap().token_id;
    let record = tokens::load(&host, &renewed).unwrap().unwrap();
    assert_eq!((record.profile.org.as_str(), record.partners.len()), ("globex", 0));
    for other in [holder("bob", "phone"), holder("alice", "pc")] {
        let answer = tokens::renew(&host, &settings, &token, other, NOW);
        assert!(matches!(answer, Err(TokenError::Denied(Denial::Misplaced))));
    }
}

#[test]
fn a_device_has_so_many_and_the_first_to_end_makes_room() {
    let (host, settings) = (Memory::default(), Settings { tokens_per_device: 3, ..Settings::default() });
    let login = |at| tokens::issue(&host, &settings, holder("alice", "phone"), at).unwrap().token_id;
    let tokens: Vec<String> = (0..5).map(|n| login(NOW + n)).collect();
    let good: Vec<bool> = tokens.iter().map(|token| is_good(&host, token)).collect();
    assert_eq!(good, [false, false, true, true, true]);
    // The one that is renewed stays good.
    let renewed = again(&host, &settings, &tokens[2], NOW + 9);
    assert!(is_good(&host, &tokens[2]) && is_good(&host, &renewed) && !is_good(&host, &tokens[3]));
}

#[test]
fn a_user_with_many_devices_is_revoked_page_by_page() {
    let (host, settings) = (Memory::default(), Settings::default());
    let devices: Vec<String> = (0..50).map(|n| format!("device-{n}")).collect();
    let login = |device: &String| tokens::issue(&host, &settings, holder("alice", device), NOW);
    let tokens: Vec<String> = devices.iter().map(|device| login(device).unwrap().token_id).collect();
    let user = Selector::User("alice".into());
    // A call that was cut short ended tokens and left their keys: they do not hide the rest.
    host.map.borrow_mut().insert("u/alice/device-0/gone".into(), Vec::new());
    let mut calls = 0;
    while !tokens::revoke(&host, &user).unwrap().is_empty() {
        calls += 1;
    }
    assert!((3..10).contains(&calls), "{calls}");
    assert!(tokens.iter().all(|token| !is_good(&host, token)));
    assert!(!host.map.borrow().keys().any(|key| key.starts_with("u/")));
}
