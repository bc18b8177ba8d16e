//! Every row of the rules.

use super::*;
use crate::message::{Outcome, Untrusted};
use crate::rules::{Decision, Known, Reason, Standing, follow_bytes, may_forget, may_report, receive};

fn standing(transport: Transport) -> Standing<'static> {
    Standing { terminal: "car-7", transport, last_sequence: 6, busy: false, now_ms: NOW }
}

/// What the terminal says to `instruction`, signed by the key with this seed; it knows the keys 1 and 2.
fn says(instruction: &Instruction, seed: u8, standing: Standing<'_>) -> Result<(), Reason> {
    let (pair, key_id, _) = server_key(seed);
    let bytes = Instruction { key_id, ..instruction.clone() }.write(&pair);
    answer(&bytes, standing)
}

fn answer(bytes: &[u8], standing: Standing<'_>) -> Result<(), Reason> {
    let keys = [server_key(1).2, server_key(2).2];
    follow_bytes(bytes, &keys, standing).map(drop).map_err(|(reason, _)| reason)
}

#[test]
fn b5_a_good_instruction_is_followed_either_way() {
    assert_eq!(says(&instruction(Transport::Tls), 1, standing(Transport::Plain)), Ok(()));
    assert_eq!(says(&instruction(Transport::Tls), 2, standing(Transport::Plain)), Ok(()));
    assert_eq!(says(&instruction(Transport::Plain), 1, standing(Transport::Tls)), Ok(()));
}

#[test]
fn b5_a_forged_instruction_is_not_followed() {
    let (other, ..) = server_key(3);
    let bytes = instruction(Transport::Tls).write(&other); // under the id of key 1
    assert_eq!(answer(&bytes, standing(Transport::Plain)), Err(Reason::Forged));
}

#[test]
fn b5_no_altered_bit_is_followed() {
    let (pair, ..) = server_key(1);
    let good = instruction(Transport::Tls).write(&pair);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let said = answer(&bytes, standing(Transport::Plain));
        let expected = [Reason::Forged, Reason::Malformed, Reason::UnknownKey];
        assert!(said.is_err_and(|reason| expected.contains(&reason)), "bit {bit}: {said:?}");
    }
}

#[test]
fn b5_an_instruction_under_an_unknown_key_is_not_followed() {
    let said = says(&instruction(Transport::Tls), 3, standing(Transport::Plain));
    assert_eq!(said, Err(Reason::UnknownKey));
}

#[test]
fn b5_an_expired_instruction_is_not_followed() {
    let late = Instruction { expires_at: NOW, ..instruction(Transport::Tls) };
    assert_eq!(says(&late, 1, standing(Transport::Plain)), Err(Reason::Expired));
}

#[test]
fn b5_an_old_sequence_is_not_followed() {
    for sequence in [0, 5, 6] {
        let old = Instruction { sequence, ..instruction(Transport::Tls) };
        assert_eq!(says(&old, 1, standing(Transport::Plain)), Err(Reason::OldSequence));
    }
}

#[test]
fn b5_an_instruction_for_another_terminal_is_not_followed() {
    for terminal in ["car-8", "car-77", "", "CAR-7"] {
        let other = Instruction { terminal: terminal.to_owned(), ..instruction(Transport::Tls) };
        assert_eq!(says(&other, 1, standing(Transport::Plain)), Err(Reason::OtherTerminal));
    }
}

#[test]
fn b5_who_is_there_already_stays() {
    let said = says(&instruction(Transport::Tls), 1, standing(Transport::Tls));
    assert_eq!(said, Err(Reason::AlreadyThere));
}

#[test]
fn b9_plain_cannot_send_to_tcp() {
    let said = says(&instruction(Transport::Plain), 1, standing(Transport::Plain));
    assert_eq!(said, Err(Reason::NotOnTls));
}

#[test]
fn b9_to_tcp_waits_for_the_command_to_tls_does_not() {
    let busy = |transport| Standing { busy: true, ..standing(transport) };
    assert_eq!(says(&instruction(Transport::Plain), 1, busy(Transport::Tls)), Err(Reason::Busy));
    assert_eq!(says(&instruction(Transport::Tls), 1, busy(Transport::Plain)), Ok(()));
}

#[test]
fn b8_a_wrong_mac_or_the_other_transports_is_forged() {
    let bytes = command(false).write(&command_key(), "car-7", Transport::Plain);
    let read =
        |bytes: &[u8], key: &CommandKey, terminal, transport| Command::read(bytes, key, terminal, transport);
    assert_eq!(read(&bytes, &command_key(), "car-7", Transport::Plain), Ok(command(false)));
    let forged = Err(Untrusted::Forged);
    assert_eq!(read(&bytes, &CommandKey::derive(&[6; 32]), "car-7", Transport::Plain), forged);
    assert_eq!(read(&bytes, &command_key(), "car-8", Transport::Plain), forged);
    assert_eq!(read(&bytes, &command_key(), "car-7", Transport::Tls), forged);
    let last = bytes.len() - 1;
    let altered = [&bytes[..last], &[bytes[last] ^ 1]].concat();
    assert_eq!(read(&altered, &command_key(), "car-7", Transport::Plain), forged);
}

#[test]
fn b14_what_must_be_encrypted_is_ignored_on_plain_whatever_is_known() {
    for known in [Known::No, Known::Waiting, Known::Running, Known::Begun, Known::Finished] {
        let said = receive(&command(true), Transport::Plain, known, NOW);
        assert_eq!(said, Decision::Ignore(Reason::MustEncrypt));
    }
    assert_eq!(receive(&command(true), Transport::Tls, Known::No, NOW), Decision::Execute);
}

#[test]
fn b7_what_needs_no_encryption_is_executed_on_either() {
    for transport in [Transport::Plain, Transport::Tls] {
        assert_eq!(receive(&command(false), transport, Known::No, NOW), Decision::Execute);
    }
}

#[test]
fn b8_an_expired_command_is_reported_as_expired() {
    let late = Command { expires_at: NOW, ..command(false) };
    let expected = Decision::Report(Outcome::Expired, Reason::Expired);
    assert_eq!(receive(&late, Transport::Tls, Known::No, NOW), expected);
}

#[test]
fn b8_a_known_command_is_never_executed_again() {
    let expected = [
        (Known::Finished, Decision::ReportAgain),
        (Known::Begun, Decision::Report(Outcome::Unknown, Reason::Known)),
        (Known::Running, Decision::Report(Outcome::Acknowledged, Reason::UnderWay)),
        (Known::Waiting, Decision::Ignore(Reason::UnderWay)),
    ];
    for (known, decision) in expected {
        assert_eq!(receive(&command(false), Transport::Tls, known, NOW), decision);
        // Nor is what was done told as expired.
        assert_eq!(receive(&command(false), Transport::Tls, known, NOW + 9), decision);
    }
}

#[test]
fn b14_results_of_what_must_be_encrypted_wait_for_tls() {
    assert!(!may_report(true, Transport::Plain));
    assert!(may_report(true, Transport::Tls));
    assert!(may_report(false, Transport::Plain));
    assert!(may_report(false, Transport::Tls));
}

#[test]
fn ids_are_forgotten_a_day_after_the_commands_end() {
    let day = 24 * 3600 * 1000;
    assert!(!may_forget(NOW, NOW + day));
    assert!(may_forget(NOW, NOW + day + 1));
    assert!(!may_forget(u64::MAX, u64::MAX));
}
