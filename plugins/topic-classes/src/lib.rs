//! Classes by topic (A12, A16), for plugins to build on: the rules are in [`rules`], what the policy file sets
//! is read by [`settings`]. A plugin implements `Guest` of the role and exports itself by
//! `bindings::export!`.

pub mod rules;
pub mod settings;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/classify"],
        world: "postern:classify/classify-plugin",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "topic_classes::bindings",
    });
}
