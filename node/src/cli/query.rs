//! `ironlight status` and `ironlight header`: ask a running node over its control socket.

use clap::Args;

use super::ask::{AskArgs, print_json};
use super::table::size;
use super::{Failure, filter, scan, short_work};
use crate::api::{
    BlocksDto, CheckDto, FiltersDto, HeaderDto, HealthDto, NetworkDto, PeerDto, PeerRequestsDto,
    PeersDto, PurposeDto, RequestsDto, ServedDto, StatusDto, TipDto, WalletStatusDto,
};

#[derive(Debug, Args)]
pub(super) struct HeaderArgs {
    /// Height on the best chain, or hash on any branch.
    id: String,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn status(args: &AskArgs) -> Result<(), Failure> {
    let status: StatusDto = args.node()?.get("/v1/status")?;
    if args.json {
        return print_json(&status);
    }
    let StatusDto { version, network, phase, tip, basis, caveat, side_headers, .. } = status;
    let StatusDto { peers, hashing, wallet, filters, blocks, .. } = status;
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
    print_wallet(&wallet);
    let FiltersDto { held, bytes, peers, .. } = filters;
    say!("filters  held {}, {}; {peers} peers serve them", filter::ranges(&held), size(bytes));
    let BlocksDto { own, own_bytes, for_others, for_others_bytes, .. } = blocks;
    let (own_size, others_size) = (size(own_bytes), size(for_others_bytes));
    say!("blocks   {own} fetched, {own_size}; {for_others} for light nodes, {others_size}");
    Ok(())
}

fn print_wallet(wallet: &WalletStatusDto) {
    let WalletStatusDto { watches, scripts, sending, scan } = wallet;
    if *watches == 0 {
        say!("wallet   watches nothing; {sending} transactions on their way");
        return;
    }
    say!(
        "wallet   watches {watches} items, {scripts} scripts; {sending} transactions on their way"
    );
    say!("         {}", scan::in_words(scan));
}

/// Says how each check is; a failure where the node is not ready.
pub(super) fn health(args: &AskArgs) -> Result<(), Failure> {
    let health: HealthDto = args.node()?.get("/v1/health")?;
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

pub(super) fn peers(args: &AskArgs) -> Result<(), Failure> {
    let found: PeersDto = args.node()?.get("/v1/peers")?;
    if args.json {
        return print_json(&found);
    }
    for network in found.networks {
        let NetworkDto { name, listening, bytes_in, bytes_out, bytes, requests, served, peers } =
            network;
        say!("{name}: {} peers, {bytes_in} bytes received, {bytes_out} sent", peers.len());
        print_purposes(&bytes);
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

/// What the bytes were for, received / sent.
fn print_purposes(bytes: &[PurposeDto]) {
    let purpose = |of: &PurposeDto| {
        let (name, bytes_in, bytes_out) = (of.purpose.replace('_', " "), of.bytes_in, of.bytes_out);
        format!("{name} {} / {}", size(bytes_in), size(bytes_out))
    };
    if !bytes.is_empty() {
        say!("  bytes: {}", bytes.iter().map(purpose).collect::<Vec<_>>().join(", "));
    }
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
    let header: HeaderDto = args.ask.node()?.get(&format!("/v1/headers/{}", args.id))?;
    if args.ask.json {
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
