//! What the misbehaving guests share: what they are told, and how it is done.

/// How a call misbehaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Well,
    /// `unreachable`.
    Trap,
    /// Never returns.
    Spin,
    /// Takes memory until there is none.
    Hoard,
    /// Writes a hundred thousand lines to the log, then answers well.
    Flood,
    /// Answers what cannot be.
    Nonsense,
    /// Leaves something out of its answer.
    Short,
    /// Answers with 24 MiB.
    Giant,
}

/// What the policy file tells.
pub struct Orders {
    pub misbehave: Option<String>,
    pub when: Option<String>,
}

impl Orders {
    /// How a call misbehaves; `boom` when it is about the user, terminal or topic of that name.
    /// Returns for modes that only concern the answer.
    pub fn carry_out(&self, boom: bool, log: impl Fn(&str)) -> Mode {
        let mode = match self.misbehave.as_deref() {
            Some("trap") => Mode::Trap,
            Some("spin") => Mode::Spin,
            Some("hoard") => Mode::Hoard,
            Some("flood") => Mode::Flood,
            Some("nonsense") => Mode::Nonsense,
            Some("short") => Mode::Short,
            Some("giant") => Mode::Giant,
            _ => Mode::Well,
        };
        if self.when.as_deref() == Some("boom") && !boom {
            return Mode::Well;
        }
        match mode {
            Mode::Trap => trap(),
            Mode::Spin => spin(),
            Mode::Hoard => hoard(),
            Mode::Flood => {
                for line in 0..100_000 {
                    log(&format!("line {line} of a flood"));
                }
                Mode::Well
            }
            mode => mode,
        }
    }

    /// What `prepare` does.
    pub fn prepare(&self) {
        if self.misbehave.as_deref() == Some("prepare") {
            trap();
        }
    }

    /// What `self-check` answers.
    pub fn self_check(&self) -> Result<(), String> {
        match self.misbehave.as_deref() {
            Some("self-check") => Err("told to fail its self-check".into()),
            Some("self-check-trap") => trap(),
            _ => Ok(()),
        }
    }
}

fn trap() -> ! {
    panic!("told to trap: this text is for the log, never for a client")
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn hoard() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&taken);
    }
}

/// A text of 24 MiB.
pub fn giant() -> String {
    "x".repeat(24 << 20)
}

/// Implements `postern:host/plugin` for `Plugin`, with `orders()` and `log()` beside it. Wants
/// `bindings` and `$prepare`, run when `prepare` behaves well.
#[macro_export]
macro_rules! lifecycle {
    ($prepare:expr) => {
        struct Plugin;

        fn orders() -> $crate::Orders {
            let text = |key| match bindings::postern::host::config::get(key) {
                Some(bindings::postern::host::config::Value::Text(text)) => Some(text),
                _ => None,
            };
            $crate::Orders { misbehave: text("misbehave"), when: text("when") }
        }

        fn log(line: &str) {
            bindings::postern::host::log::write(bindings::postern::host::log::Level::Info, line);
        }

        impl bindings::exports::postern::host::plugin::Guest for Plugin {
            fn describe() -> bindings::exports::postern::host::plugin::About {
                bindings::exports::postern::host::plugin::About {
                    name: env!("CARGO_PKG_NAME").into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                }
            }
            fn prepare() -> Result<(), String> {
                orders().prepare();
                $prepare
            }
            fn self_check() -> Result<(), String> {
                orders().self_check()
            }
        }
    };
}
