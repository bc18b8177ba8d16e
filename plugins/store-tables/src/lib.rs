//! What is stored and how (A10), for plugins to build on: the rules are in [`save`] and [`read`], the
//! tables in [`schema`]. A plugin implements `Guest` of the role and exports itself by
//! `bindings::export!`.
//!
//! save: message rows (repeats fall out) → heads (a seq per recipient) → inbox rows

mod conversation;
pub mod host;
pub mod read;
pub mod save;
pub mod schema;
pub mod sql;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/store"],
        world: "postern:store/store-plugin",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "store_tables::bindings",
    });
}
