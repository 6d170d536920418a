//! `ironlight status` and `ironlight header`: ask a running node over its control socket.

use clap::Args;
use serde::Serialize;

use super::{Failure, NetworkArgs, short_work};
use crate::api::{
    CheckDto, HeaderDto, HealthDto, NetworkDto, PeerDto, PeerRequestsDto, PeersDto, RequestsDto,
    ServedDto, StatusDto, TipDto, client,
};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    location: NetworkArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct HeaderArgs {
    /// Height on the best chain, or hash on any branch.
    id: String,
    #[command(flatten)]
    location: NetworkArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn ask<T: serde::de::DeserializeOwned>(
    location: &NetworkArgs,
    path: &str,
) -> Result<T, Failure> {
    let directory = location.clone().resolve()?.network_dir()?;
    Ok(super::runtime()?.block_on(client::get(&directory, path))?)
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let status: StatusDto = ask(&args.location, "/v1/status")?;
    if args.json {
        return print_json(&status);
    }
    let StatusDto { version, network, phase, tip, basis, caveat, side_headers, peers, hashing } =
        status;
    let TipDto { height, hash, time, work } = tip;
    say!("ironlight {version} on {network}: {phase}");
    say!("tip      {height} {hash}");
    say!("time     {time} (claimed by the tip)");
    say!("work     {}", short_work(&work));
    say!("basis    {basis}");
    if let Some(caveat) = caveat {
        say!("caveat   {caveat}");
    }
    say!("forks    {side_headers} headers on side branches");
    say!("{hashing}");
    say!("peers    {peers} (see `ironlight peers`)");
    Ok(())
}

/// Says how each check is; a failure where the node is not ready.
pub(super) fn health(args: &StatusArgs) -> Result<(), Failure> {
    let health: HealthDto = ask(&args.location, "/v1/health")?;
    if args.json {
        print_json(&health)?;
    } else {
        for CheckDto { name, status, output, value, unit, took_us } in &health.checks {
            let measured = value.map(|value| format!("{value} {}", unit.as_deref().unwrap_or("")));
            let took = format!("({took_us} us)");
            let words = [measured.as_deref().unwrap_or(""), output, &took];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            say!("{status:<5} {name:<9} {}", words.join(", "));
        }
    }
    let failed = health.checks.iter().filter(|check| check.status == "fail");
    let failed: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
    match (health.ready, health.live) {
        (true, _) => Ok(()),
        (false, true) => Err(format!("not ready: {}", failed.join(", ")).into()),
        (false, false) => Err(format!("ill: {}; restart it", failed.join(", ")).into()),
    }
}

pub(super) fn peers(args: &StatusArgs) -> Result<(), Failure> {
    let found: PeersDto = ask(&args.location, "/v1/peers")?;
    if args.json {
        return print_json(&found);
    }
    for network in found.networks {
        let NetworkDto { name, listening, bytes_in, bytes_out, requests, served, peers } = network;
        say!("{name}: {} peers, {bytes_in} bytes received, {bytes_out} sent", peers.len());
        print_requests(&requests, &served);
        for address in listening {
            say!("  listening on {address}");
        }
        for peer in peers {
            print_peer(&peer);
        }
    }
    Ok(())
}

fn print_requests(requests: &RequestsDto, served: &ServedDto) {
    let RequestsDto { sent, answered, failed, refused, retried, p50_micros, p99_micros, .. } =
        requests;
    let took = format!("p50 {}, p99 {}", millis(*p50_micros), millis(*p99_micros));
    say!(
        "  requests: {sent} sent, {answered} answered, {failed} failed, {refused} refused, \
         {retried} retried; {took}"
    );
    let ServedDto { answered, busy, cache_hits, cache_misses } = served;
    if answered + busy > 0 {
        let pages = cache_hits + cache_misses;
        say!(
            "  served: {answered}, {busy} told to wait; {cache_hits} of {pages} whole pages cached"
        );
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

fn print_peer(peer: &PeerDto) {
    let PeerDto { id, address, direction, agent, phase, bytes_in, bytes_out, headers, .. } = peer;
    say!("  {id:>4}  {address}");
    say!("        {direction}, {agent}, {phase}");
    if let Some(PeerRequestsDto { sent, failed, refused, breaker }) = &peer.requests {
        say!("        {sent} requests, {failed} failed, {refused} refused, breaker {breaker}");
    }
    let ping = peer.ping_micros;
    let ping = ping.map_or_else(String::new, |micros| format!(", ping {}", millis(micros)));
    let seconds = peer.connected_seconds;
    say!(
        "        {headers} headers, {bytes_in} bytes received, {bytes_out} sent in {seconds} s{ping}"
    );
}

pub(super) fn header(args: &HeaderArgs) -> Result<(), Failure> {
    // A height or a hash has no character that would need escaping; anything else is refused
    // here, before it becomes part of a path.
    if !args.id.chars().all(|symbol| symbol.is_ascii_hexdigit()) {
        return Err(format!("{:?} is neither a height nor a block hash", args.id).into());
    }
    let header: HeaderDto = ask(&args.location, &format!("/v1/headers/{}", args.id))?;
    if args.json {
        return print_json(&header);
    }
    let place = if header.best_chain { "on the best chain" } else { "on a side branch" };
    say!("header         {} {}", header.height, header.hash);
    say!("place          {place}, {} confirmations", header.confirmations);
    say!("parent         {}", header.previous_hash);
    say!("merkle root    {}", header.merkle_root);
    say!("time           {}", header.time);
    say!("bits           {}", header.bits);
    say!("nonce          {}", header.nonce);
    say!("version        {:#010x}", header.version);
    say!("total work     {}", short_work(&header.work));
    Ok(())
}
