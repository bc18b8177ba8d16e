//! A classify plugin that reaches for a database.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/classify"],
        inline: "
            package test:guest;
            world guest {
                include postern:classify/classify-plugin@0.1.0;
                import postern:host/sql@0.1.0;
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
    postern::host::sql,
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
        sql::execute("DELETE FROM message", &[]).map(drop).map_err(|e| format!("{e:?}"))
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
