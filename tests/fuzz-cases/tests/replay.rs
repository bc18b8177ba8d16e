//! Every case with its corpus, and with random changes of it: the same ones in each run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_cases::{CASES, Case, case};

/// Random inputs for each case. `cargo xtask fuzz` runs as many as you like.
const RANDOM: usize = 300;
/// Bytes of the longest of them.
const LONGEST: usize = 600;

fn folder(case: Case) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(case.name)
}

fn corpus(case: Case) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(case);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Names an input that panics: the file, or the bytes.
struct Named<'a>(&'a str, &'a [u8]);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("fuzz case, input {}: {:02x?}", self.0, self.1);
        }
    }
}

fn run(case: Case, name: &str, bytes: &[u8]) {
    let _named = Named(name, bytes);
    (case.run)(bytes);
}

/// SplitMix64 (Steele, Lea, Flood 2014): random enough, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One of the corpus with some bytes changed, taken out or put in, or nothing but random bytes.
    fn input(&mut self, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
        if corpus.is_empty() || self.below(4) == 0 {
            return (0..self.below(LONGEST)).map(|_| self.next() as u8).collect();
        }
        let mut bytes = corpus.get(self.below(corpus.len())).unwrap().1.clone();
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len());
            match self.below(3) {
                0 if at < bytes.len() => drop(bytes.remove(at)),
                1 if at < bytes.len() => {
                    bytes.splice(at..=at, [self.next() as u8]);
                }
                _ => bytes.insert(at, self.next() as u8),
            }
        }
        bytes
    }
}

fn replay(name: &str) {
    let case = case(name);
    let corpus = corpus(case);
    for (path, bytes) in &corpus {
        run(case, &path.display().to_string(), bytes);
    }
    let mut random = Random(name.bytes().map(u64::from).sum());
    for number in 0..RANDOM {
        run(case, &format!("random {number}"), &random.input(&corpus));
    }
}

#[test]
fn fuzz_decode() {
    replay("decode");
}

#[test]
fn fuzz_encode() {
    replay("encode");
}

#[test]
fn fuzz_topics() {
    replay("topics");
}

#[test]
fn fuzz_sessions() {
    replay("sessions");
}

#[test]
fn fuzz_feed() {
    replay("feed");
}

#[test]
fn fuzz_sign_in() {
    replay("sign_in");
}

#[test]
fn every_case_has_a_target_and_a_corpus_and_all_are_small() {
    let (mut files, mut bytes) = (0, 0);
    for case in CASES {
        let target = folder(case).join(format!("../../fuzz_targets/{}.rs", case.name));
        assert!(target.is_file(), "{} is missing", target.display());
        for (_, input) in corpus(case) {
            files += 1;
            bytes += input.len();
        }
    }
    assert!(files > 0 && files <= 200 && bytes <= 300_000, "{files} files, {bytes} bytes");
    let this = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay.rs")).unwrap();
    assert!(CASES.iter().all(|case| this.contains(&format!("replay(\"{}\")", case.name))));
}
