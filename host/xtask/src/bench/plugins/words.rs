//! What the report says beside its figures.

use super::Options;

/// Title, and how it was measured.
pub(super) fn opening(command: &str, took: &str) -> String {
    format!(
        "# Plugins in operators' hands, measured\n\nWritten by `{command}`, which took {took}. Each part can be run \
         alone, by `--only` and its name. Release builds on loopback. Clients are one process with one thread; they sign \
         in by proof and send instant messages at QoS 1, which are stored before they are acknowledged (SQLite, WAL, \
         synchronous=FULL); each passes the roles classify and store. Server and clients share the machine's cores: \
         what a second core would take over shows as latency here.\n\n"
    )
}

/// What was asked for.
pub(super) fn options(options: &Options) -> String {
    let Options { activations, gap_millis, pairs, rate, rounds, secs, body, .. } = options;
    let built = if options.no_build { " Measured what was built before." } else { "" };
    format!(
        "- clients: {pairs} publishers and {pairs} recipients; bodies of {body} bytes.\n\
         - rounds: {rounds}, phases of {secs} s; by the clock {rate} messages a second, at full speed 100 in flight of \
         each publisher.{built}\n\
         - activations of `swaps`: {activations}, the next {gap_millis} ms after each answer.\n\
         - policy: policies/bench.toml, and grants for what is put into the folder.\n\
         - latencies: from when a message was due on a clock that waits for nobody; at full speed from when it was \
         written.\n"
    )
}

pub(super) const SWAPS: &str = "Two builds of classify-topic, told apart by a custom section, in turns: the file of the \
    folder is replaced and activated on the admin socket, again as soon as that is answered. Quiet phases and phases with \
    activations follow each other on the same links. Every activation loads the component anew, asks it who it is and \
    whether it is well, writes down that it serves, and swaps. A link that ends ends the run.";

pub(super) const ACTIVATE: &str = "`classify-wordlist`, which masks a word, and `classify-topic` in turns, both compiled \
    before. Decided: from the request to the first message delivered that shows the other decision, 2,000 messages a second \
    being under way (stored, so that a commit is in it). Answered: until the operator has the answer. By the command: \
    `postern plugin activate`, with the start of that program.";

pub(super) const COMPILE: &str = "alarm-js, 12 MB, which no cache knows, is sent to the server to be validated; its \
    compiler has a thread for each core, all niced by 10. On a machine whose cores are full, a fair share of one more \
    process that wants all cores would be a third and more beside server and clients.";

pub(super) const SHADOW: &str = "`classify-wordlist` in the shadow of classify-topic, asked about every message, on \
    a niced thread of its own. *Light* is 2,000 messages a second, which leaves a core to it. What it cannot keep up with \
    is shed: it never makes a message wait.";

pub(super) const TRAP: &str = "One thread, a guest that traps in every second call (`cargo run --release -p \
    postern-guest --example trap_cost`). A trap takes its instance with it: its cost is what that call and the next one, \
    which makes an instance, take longer than two that answer.";

pub(super) const SPIN: &str = "A classify plugin that never returns, activated under load (probation off, which would roll \
    it back); each call is stopped after 50 ms of CPU. Opened: from the answer to the activation to the breaker being \
    seen open. With it open, classes are those of the topics (the failure rule *prefix*), one call after a growing pause \
    tries again, and the roles store and token go on: their latencies are those of messages, and of sign-ins from the \
    connection to the CONNACK.";

pub(super) const HOOKS: &str = "QoS 1, windows of 100 in flight, as many as the server takes; each server is started for its \
    turn. *Off*: a build of its own (feature `bench-bypass`, which no default enables and whose absence in other builds \
    a test sees to) asks no plugin: a message's class is its topic's, and the rules of store-sql run as functions of the \
    program on the same tables. *On*: the ordinary program. Ordinary messages are not stored; classify-topic says of them \
    that its verdict holds for the topic, and is asked again for each under *asked always*. *Outside*: the same \
    question over HTTP/1.1, on a connection that each link keeps, to a process of its own that answers with the topic's \
    class; store stays a plugin. It stands for hooks of other brokers over gRPC or HTTP, at their best: no network, no \
    rule to speak of.";
