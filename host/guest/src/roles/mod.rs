//! One typed face per role. The types mirror `wit/`; wasmtime checks them against the component's
//! when it is loaded.

mod borrowed;
pub mod classify;
pub mod encrypt;
pub mod login;
pub mod store;
pub mod token;
pub mod types;

pub use classify::Classify;
pub use encrypt::Encrypt;
pub use login::Login;
pub use store::Store;
pub use token::Token;
