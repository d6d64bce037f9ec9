//! `thon logs`: what a sandbox wrote.
//!
//! For: the last lines of one user's sandbox.
//! Not for: following them.

use std::process::ExitCode;

use super::Outcome;
use crate::args::LogsArgs;
use crate::context::Context;
use crate::failure::CommandFailure;

pub(crate) async fn logs(args: &LogsArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    // Someone who left the roster may still have a sandbox: a full name is taken as it is.
    let user = if args.user.contains('/') {
        args.user.parse().map_err(thon::Error::from)?
    } else {
        let users =
            crate::context::selected(&node.config().groups, &[], std::slice::from_ref(&args.user))?;
        match <[_; 1]>::try_from(users) {
            Ok([user]) => user,
            Err(users) => {
                let names: Vec<String> = users.iter().map(ToString::to_string).collect();
                return Err(CommandFailure::input(format!(
                    "\"{}\" means several users: say {}",
                    args.user,
                    names.join(" or ")
                )));
            }
        }
    };
    let text = node.logs(&user, args.tail).await?;
    if context.output.json() {
        context.output.value(&text.lines().collect::<Vec<_>>());
    } else {
        context.output.text(&text);
    }
    Ok(ExitCode::SUCCESS)
}
