//! A classify plugin that imports what no host interface gives.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/classify"],
        inline: "
            package test:guest;
            interface files {
                read: func(path: string) -> list<u8>;
            }
            world guest {
                include postern:classify/classify-plugin@0.1.0;
                import files;
            }
        ",
        world: "test:guest/guest",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::{
    exports::postern::classify::classify::{ClassifyError, Facts, Guest, Verdict},
    test::guest::files,
};

struct Plugin;

impl bindings::exports::postern::host::plugin::Guest for Plugin {
    fn describe() -> bindings::exports::postern::host::plugin::About {
        bindings::exports::postern::host::plugin::About {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
    fn prepare() -> Result<(), String> {
        if files::read("/etc/passwd").is_empty() { Err("no users".into()) } else { Ok(()) }
    }
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn classify(_: Facts) -> Result<Verdict, ClassifyError> {
        Err(ClassifyError::Unavailable("never loaded".into()))
    }
}
