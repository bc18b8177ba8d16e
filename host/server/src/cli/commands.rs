//! `postern command …`: commands to terminals, without what they say.

use clap::Subcommand;
use hyper::Method;

use super::{client::AdminClient, print};
use crate::{admin::path_segment, command::ask::CommandView};

#[derive(Debug, Subcommand)]
pub(super) enum CommandVerb {
    /// The newest commands
    List {
        /// Of this terminal only
        #[arg(long)]
        terminal: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One command
    Show {
        /// Its id
        id: String,
    },
    /// Take a command back that has not been sent
    Cancel {
        /// Its id
        id: String,
    },
}

impl CommandVerb {
    pub async fn apply(self, server: &AdminClient) -> anyhow::Result<()> {
        match self {
            CommandVerb::List { terminal, limit } => {
                let terminal =
                    terminal.map(|it| format!("&terminal={}", path_segment(&it))).unwrap_or_default();
                let found: Vec<CommandView> =
                    server.get(&format!("/v1/commands?limit={limit}{terminal}")).await?;
                if server.json { print::json(&found) } else { table(&found) }
            }
            CommandVerb::Show { id } => {
                let found: CommandView = server.get(&format!("/v1/commands/{}", path_segment(&id))).await?;
                if server.json { print::json(&found) } else { table(&[found]) }
            }
            CommandVerb::Cancel { id } => {
                let path = format!("/v1/commands/{}", path_segment(&id));
                let taken: CommandView = server.ask(Method::DELETE, &path, None::<&()>).await?;
                if server.json { print::json(&taken) } else { table(&[taken]) }
            }
        }
    }
}

fn table(commands: &[CommandView]) -> anyhow::Result<()> {
    let row = |c: &CommandView| {
        let way = if c.needs_tls { "tls" } else { "any" };
        [
            c.id.clone(),
            c.terminal.clone(),
            c.requester.clone(),
            c.class.clone(),
            way.to_owned(),
            c.state.clone(),
        ]
    };
    let rows: Vec<_> = commands.iter().map(row).collect();
    print::table(["ID", "TERMINAL", "REQUESTER", "CLASS", "WAY", "STATE"], &rows)
}
