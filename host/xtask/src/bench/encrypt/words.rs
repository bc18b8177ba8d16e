//! What the report says beside its figures.

use super::Options;

/// Title, and how it was measured.
pub(super) fn opening(command: &str, took: &str, enrolled: &str) -> String {
    format!(
        "# Encrypt on demand, measured\n\nWritten by `{command}`, which took {took}, {enrolled} of it for accounts and \
         logins. Release builds on loopback, MQTT 5, TLS 1.3, keep alive of a minute. The terminals are one process \
         with one thread; each signs in with its own token, subscribes to its two topics, sends its query, checks the \
         signature of each instruction and the MAC of each command, executes once and reports. At mosquitto the same \
         clients are anonymous: a command is a message of the same size, and so are its two results. Server and \
         terminals share the machine's cores.\n\n"
    )
}

/// What was asked for.
pub(super) fn options(options: &Options) -> String {
    let Options { terminals, rounds, commands, day_terminals, day_secs, memory_day_secs, crowd, .. } =
        options;
    let built = if options.no_build { " Measured what was built before." } else { "" };
    format!(
        "- fleets: {terminals} terminals by memory, {day_terminals} of each rate for a day, {crowd} at once.\n\
         - rounds: {rounds} of {commands} commands by each way.{built}\n\
         - time: a day takes {day_secs} s where bytes are counted, {memory_day_secs} s where memory is. Postern tells a \
         terminal to go back a second after its command, the least that it knows: {:.0} and {:.0} minutes of such a day.\n\
         - policy: policies/default.toml with anybody allowed to ask any terminal; SQLite with WAL and synchronous=FULL.\n\
         - allocators: Postern jemalloc; mosquitto glibc's malloc.\n",
        1_440.0 / day_secs,
        1_440.0 / memory_day_secs,
    )
}

pub(super) const MEMORY: &str = "Growth of the server's RssAnon by terminal, with its two subscriptions, while it pings \
    every 3 s; a hundredth of the fleet is there before and does not count. What the kernel keeps for a connection is \
    not in it. All measured but the last lines: on demand after a day with a command for every terminal – each has come \
    in through TLS and gone back –, at rest, as nearly all of them are at any time; what its commands leave is in it. \
    While the day passes, in which there are hundreds of times as many handshakes a second as in a real one, there is more: \
    buffers, and memory that the allocator has not given back yet. At other rates it is computed: the share of \
    terminals on TLS by the policy, for commands at random, times the difference.";

pub(super) const BYTES: &str = "Bytes of a terminal's day on IPv4 with timestamps: payload of TCP as the kernel counts it \
    (TCP_INFO of each of the terminal's sockets), and 52 bytes for each segment both ways, acknowledgements too. \
    Measured, in a day that is scaled: as many pings and commands as in a real one. Terminals on demand come in for each \
    command with a resumed handshake, and go back as soon as Postern knows. The mean of a rate's terminals.";

pub(super) const PIECES: &str = "What the pieces weigh, measured: a ping from the day without commands, commands and \
    switches from the part with the latencies, whose terminals hardly ping. A switch is what a command on demand weighs \
    over one to a terminal that is on TLS already: instruction, goodbye, handshake, sign-in, subscriptions and query, \
    and the same way back.";

pub(super) const BREAK_EVEN: &str = "Computed: C* = (86400/K)·ΔP / (S + (I/K)·ΔP) with the pieces above; K keep alive, I \
    stay on TLS after a command. Measured: where the bytes of the scaled day on demand come above those always on TLS, \
    between the rates that were run.";

pub(super) const POLICY: &str = "The real component of the role *encrypt* is asked for the idle period after each command, \
    with the pieces above and the last 128 commands, as the server does; simulated time. 3 days of learning, then 30 that \
    count. Only pings and switches count, for what commands weigh is the same every way. *Each time*: to TLS for each \
    command and back in no time, also within a burst. Bursts: five commands on average, five minutes apart on average. \
    *Over*: the policy's bytes over those of the better of both ways, of all terminals of a rate, and of the worst one.";

pub(super) const LATENCY: &str = "From the request (PUBLISH of `cmd/…/ask` written) and from its acceptance (PUBACK: saved \
    on disk) to the execution on the terminal, 20 commands a second. Executed is when the terminal has checked the \
    command; acting is not in it. On demand the command's time holds the instruction, the new connection, the sign-in \
    and the query. mosquitto stores nothing and decides nothing.";

pub(super) const DAY_LATENCY: &str =
    "The same in the scaled day, whose terminals all ping 20 times a second.";

pub(super) const CPU: &str = "The server's CPU, user and system, of a terminal's day with a ping every minute. Computed from \
    measured pieces: a ping's CPU in the fleet at rest, a command's in the part with the latencies. For comparison the \
    CPU of the scaled day as it was measured, all rates together, against the same computed.";

pub(super) const CROWD: &str = "All are on plain TCP and have no ticket; a command that needs TLS for each is asked for at \
    once on eight links. Postern spreads its instructions (500 a second by default). Others, a tenth as many on \
    plain and as many on TLS, ping every second; their slowest answer counts, from the first request to the last result.";

pub(super) const CLAIM: &str = "Published: an idle TLS link costs a server 3 times the memory of a TCP link, and the terminal \
    about twice the traffic.";
