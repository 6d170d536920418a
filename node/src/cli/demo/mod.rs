//! `ironlight demo`: a full node and light nodes at work, on this machine alone.
//!
//! The full node is the embedded devnet, in the demo's own process; every light node is a process
//! of the same program, asked over its control socket as anybody would ask it. What is printed was
//! observed: heights, hashes, sources and bytes come from the nodes, reasons from their logs.
//!
//! Nothing leaves loopback. The nodes' processes end with the demo, whichever way it ends, but for
//! a SIGKILL of the demo itself.

mod acts;
mod attack;
mod fleet;
mod follow;
mod light_node;
mod node_log;
mod payment;
mod process;
mod record;
mod stage;
mod story;
mod view;

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::run::Signals;
use super::scratch::Scratch;
use stage::Stage;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Blocks of the full node's chain.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    headers: u32,
    /// Light nodes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=16))]
    nodes: u16,
    /// End when everything was shown; without it the full node goes on mining until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Show attacks as well: lying full nodes, a flipped bit on disk, a kill at the worst moment.
    #[arg(long)]
    attack: bool,
    /// Where data and logs are kept; a temporary directory without it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The user had enough.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: the nodes are stopped")]
struct Interrupted;

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let mut scratch = Scratch::new(args.data_dir.clone(), "demo", "node1")?;
    let done = super::runtime()?.block_on(perform(args, &scratch));
    let failed = done.as_ref().is_err_and(|failure| !failure.is::<Interrupted>());
    if failed && scratch.is_temporary() {
        note!("data and logs are kept in {}", scratch.path().display());
        scratch.keep();
    }
    done
}

async fn perform(args: &DemoArgs, scratch: &Scratch) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // The light nodes are killed when what holds them is dropped: here, if a signal comes.
    let shown = tokio::select! {
        shown = Box::pin(show(args, scratch)) => shown,
        () = signals.next() => return Err(Interrupted.into()),
    };
    let mut stage = match shown {
        Ok(stage) => stage,
        Err(_) if signals.come_soon().await => return Err(Interrupted.into()),
        Err(failure) => return Err(failure),
    };
    let passed = stage.passed()?;
    if args.once {
        stage.end().await?;
        say!("{passed}");
        return Ok(());
    }
    say!("{passed}");
    follow::until(&mut stage, &mut signals).await?;
    stage.end().await
}

/// All acts, up to the table.
async fn show(args: &DemoArgs, scratch: &Scratch) -> Result<Stage, Failure> {
    let mut stage = Stage::set(args, scratch).await?;
    acts::sync(&mut stage).await?;
    acts::reorg(&mut stage).await?;
    acts::restart(&mut stage).await?;
    payment::payment(&mut stage).await?;
    if args.attack {
        attack::lies(&mut stage).await?;
        attack::flipped_bit(&mut stage).await?;
        attack::kill(&mut stage).await?;
    }
    acts::all_agree(&mut stage).await?;
    stage.print_table();
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: DemoArgs,
    }

    fn parse(flags: &[&str]) -> Result<DemoArgs, clap::Error> {
        Line::try_parse_from([&["demo"], flags].concat()).map(|line| line.args)
    }

    #[test]
    fn three_nodes_and_ten_thousand_headers_unless_told_otherwise() {
        let args = parse(&[]).unwrap();
        assert_eq!((args.headers, args.nodes), (10_000, 3));
        assert!(!args.once && !args.attack && args.data_dir.is_none());
    }

    #[test]
    fn numbers_out_of_bounds_are_wrong_usage() {
        for good in [["--nodes", "3"], ["--nodes", "16"], ["--headers", "100"]] {
            assert!(parse(&good).is_ok(), "{good:?}");
        }
        for bad in
            [["--nodes", "2"], ["--nodes", "17"], ["--headers", "99"], ["--headers", "100001"]]
        {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
