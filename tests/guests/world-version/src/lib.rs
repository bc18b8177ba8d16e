//! A plugin for a later classify world.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host"],
        inline: "
            package postern:classify@0.2.0;
            interface classify {
                classify: func(topic: string) -> string;
            }
            world classify-plugin {
                export postern:host/plugin@0.1.0;
                export classify;
            }
        ",
        world: "postern:classify/classify-plugin@0.2.0",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

struct Plugin;

impl bindings::exports::postern::host::plugin::Guest for Plugin {
    fn describe() -> bindings::exports::postern::host::plugin::About {
        bindings::exports::postern::host::plugin::About {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
    fn prepare() -> Result<(), String> {
        Ok(())
    }
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

impl bindings::exports::postern::classify::classify::Guest for Plugin {
    fn classify(topic: String) -> String {
        topic
    }
}
