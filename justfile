# `just` lists the recipes; `.ci/run` runs them in order and times each.

set shell := ["bash", "-euo", "pipefail", "-c"]
set script-interpreter := ["bash", "-euo", "pipefail"]

[private]
default:
    @just --list --unsorted

# README's first command: a full node and light nodes at work, on this machine alone
demo *args:
    cargo run --release -- demo --once {{ args }}

# Generate, verify, store and reopen a chain, and print the figures
selftest:
    cargo run --release -- selftest

# README's test command: every test that needs nothing from outside, doctests too
test *args:
    cargo test --workspace {{ args }}

# Build what `just test` runs
test-build:
    cargo test --workspace --no-run

# The doctests alone; `just test` has them already
doctest:
    cargo test --workspace --doc

# Format the code
fmt:
    cargo fmt --all

# Fail on code that `just fmt` would change
fmt-check:
    cargo fmt --all -- --check

# Lint every target, warnings denied
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# Build the documentation, warnings denied
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Fail if Cargo.lock is not what the manifests ask for
lockfile:
    cargo update --workspace --locked

# Check that ironlight-spv and all that it links do without std
[script]
no-std:
    cargo build -p ironlight-spv --no-default-features
    # A target without std would show this at once, but few machines have one. Here a second panic
    # handler stands in for it: std brings one too, so if any linked crate pulls std in, the compiler
    # reports a duplicate. Blind spot: a dependency that no code names is never loaded, so never seen.
    out=${CARGO_TARGET_DIR:-target}/debug
    rustc --edition 2024 --crate-name no_std_probe --crate-type lib --emit metadata --out-dir "$out" \
        -L "dependency=$out/deps" --extern "ironlight_spv=$out/libironlight_spv.rlib" - <<'RUST'
    #![no_std]
    use ironlight_spv as _;
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
    RUST
    echo "ironlight-spv links no std"

# Build ironlight-spv for a target without std that rustup has installed
no-std-target target:
    cargo build -p ironlight-spv --no-default-features --target {{ quote(target) }}

# Check the library as wallets embed it: each set of features passes clippy, with no more packages than docs/EMBEDDING.md allows
[script]
embed:
    for features in "" redb redb,wallet,bdk; do
        cargo clippy -p ironlight --lib --no-default-features --features "$features" -- -D warnings
    done
    # allow FEATURES MOST_PACKAGES UNWANTED
    allow() {
        packages=$(cargo tree -p ironlight --no-default-features --features "$1" \
            --edges normal,build --prefix none --format '{p}' | awk '{ print $1, $2 }' | sort -u)
        count=$(wc -l <<<"$packages")
        if unwanted=$(grep -E "^($3)[-_a-z0-9]* v" <<<"$packages"); then
            echo "error: with the features \"$1\" the library must build without these:" >&2
            echo "$unwanted" >&2
            exit 1
        fi
        if ((count > $2)); then
            echo "error: $count packages with the features \"$1\", at most $2 are allowed" >&2
            exit 1
        fi
        echo "features \"$1\": $count packages of at most $2, none of ${3//|/, }"
    }
    allow "" 70 "axum|clap|libp2p|miniscript|redb|sled|bdk"
    allow "redb" 70 "axum|clap|libp2p|miniscript|sled|bdk"
    allow "redb,wallet" 72 "axum|clap|libp2p|sled|bdk"
    allow "redb,wallet,bdk" 86 "axum|clap|libp2p|sled"
    allow "redb,wallet,libp2p" 285 "axum|clap|sled|bdk"

# Print docs/EMBEDDING.md's table for all sets of features, or these: packages, and the size of a stripped program
[script]
embed-sizes *sets:
    sets={{ quote(sets) }}
    # The most that a program may weigh, in MB.
    declare -A most=([none]=4 [redb]=5 [redb,wallet]=9 [redb,wallet,libp2p]=22)
    probe=${CARGO_TARGET_DIR:-$PWD/target}/embed-sizes
    mkdir -p "$probe/src"
    cp Cargo.lock "$probe/Cargo.lock"
    sed "s|IRONLIGHT|$PWD/node|" >"$probe/Cargo.toml" <<'TOML'
    [package]
    name = "embed-sizes"
    edition = "2024"
    [workspace]
    [features]
    redb = ["ironlight/redb"]
    wallet = ["ironlight/wallet"]
    libp2p = ["ironlight/libp2p"]
    [dependencies]
    ironlight = { path = "IRONLIGHT" }
    tokio = { version = "1", features = ["macros", "rt"] }
    [profile.release]
    strip = true
    TOML
    # Without a wallet, README's other example.
    cat >"$probe/src/main.rs" <<'RUST'
    use ironlight::{BlockHeight, Network, Node};
    #[tokio::main(flavor = "current_thread")]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let builder = Node::builder(Network::Signet);
        #[cfg(feature = "redb")]
        let builder = builder.data_dir("data");
        #[cfg(feature = "libp2p")]
        let builder = builder.libp2p(Default::default());
        let node = builder.build().await?;
        let handle = node.handle();
        #[cfg(feature = "wallet")]
        {
            use ironlight::wallet::watch::{WatchRequest, WatchTarget};
            let descriptor = std::env::args().nth(1).unwrap_or_default();
            let target = WatchTarget::descriptor(&descriptor, Network::Signet)?;
            handle.watch(WatchRequest::new(target, BlockHeight(0))).await?;
            handle.wallet().synced().await?;
            println!("{}", handle.balance(None).confirmed);
        }
        println!("{} {:?}", handle.headers_synced().await?, handle.header(BlockHeight(1)));
        node.stop().await?;
        Ok(())
    }
    RUST
    echo "| features | packages | stripped |"
    echo "|---|---|---|"
    for set in ${sets:-redb,wallet redb none redb,wallet,libp2p}; do
        features=${set/#none/}
        cargo build --quiet --release --manifest-path "$probe/Cargo.toml" --target-dir "$probe/target" \
            --features "$features"
        packages=$(cargo tree -p ironlight --no-default-features --features "$features" \
            --edges normal,build --prefix none --format '{p}' | awk '{ print $1, $2 }' | sort -u | wc -l)
        bytes=$(stat -c %s "$probe/target/release/embed-sizes")
        echo "| $set | $packages | $(awk -v b="$bytes" 'BEGIN { printf "%.1f MB", b / 1e6 }') |"
        if ((bytes > ${most[$set]} * 1000000)); then
            echo "error: $set weighs more than ${most[$set]} MB" >&2
            exit 1
        fi
    done

# Run the examples of the library, each on a full node of its own
[script]
examples: test-build
    for example in wallet watcher merchant bdk; do
        echo "==> $example"
        "${CARGO_TARGET_DIR:-target}/debug/examples/$example"
    done

# Package ironlight-hardening, build it from the package, and check each feature alone and all together
[script]
package:
    cargo package -p ironlight-hardening --allow-dirty
    features=$(sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z_-]*\) = .*/\1/p' hardening/Cargo.toml)
    for feature in "" $features; do
        cargo check -p ironlight-hardening --no-default-features --features "$feature"
    done
    cargo check -p ironlight-hardening --all-features
    if cargo tree -p ironlight-hardening --no-default-features --edges normal,build --prefix none |
        grep -E '^(tokio|tracing|tower) v'; then
        echo "error: the core must build without these" >&2
        exit 1
    fi

# Compile the benches, as quickly as that goes: `just bench` optimises them
benches:
    cargo bench --workspace --bench '*' --no-run --profile dev

# Run the benches, 8 minutes on two cores (with BITCOIND_EXE, else ../shared/tools/bitcoind, the sync from Bitcoin Core too)
[script]
bench *args:
    if [[ -z ${BITCOIND_EXE:-} && -x ../shared/tools/bitcoind ]]; then
        export BITCOIND_EXE=$(realpath ../shared/tools/bitcoind)
    fi
    cargo bench -p ironlight-benches {{ args }}

# The same for the headline groups alone, two minutes with few samples; the report does not see them
[script]
bench-quick:
    benches=()
    for bench in header_batch header_chain header_chain_memory filters merkle stores mixed \
        hardening_breaker hardening_limiter hardening_cache hardening_stack hardening_stack_memory; do
        benches+=(--bench "$bench")
    done
    export CRITERION_HOME=${CARGO_TARGET_DIR:-$PWD/target}/criterion-quick
    cargo bench -p ironlight-benches "${benches[@]}" -- --quick

# Write docs/BENCHMARKS.md of what `just bench` has measured; fails if a goal is missed without a reason in benches/reasons.json
bench-report date=`date -u +%F` note="":
    cargo run --release -p ironlight-benches --example bench-report -- docs/BENCHMARKS.md {{ quote(date) }} {{ quote(note) }}

# Count the instructions of the hot paths, and fail where one takes more than benches/instructions.txt says, or where lanes lost their lead (`--write` moves the figures)
[script]
instructions *args:
    command -v valgrind >/dev/null || {
        echo "not run: needs valgrind"
        exit 0
    }
    cargo bench -p ironlight-benches --bench instructions -- --count {{ args }}

# Run all scenarios under load, or what is named with its options: docs/STRESS.md
[script]
stress *args="all":
    out=${CARGO_TARGET_DIR:-target}
    cargo run --release -p ironlight-stress -- run {{ args }} --json "$out/stress.json" --html "$out/stress.html"
    echo "the report is in $out/stress.html and $out/stress.json"

# Fuzz what reads strangers' bytes, so many seconds each target, or only those named (needs a C++ compiler)
[script]
fuzz seconds="10" *targets:
    all="compact_codec header_snapshot account_state filter merkle_block bitcoin_messages bitcoin_frames swarm_messages wallet_file"
    targets={{ quote(targets) }}
    # Coverage from LLVM's own pass, which a stable compiler has too. With --target these flags are
    # for the targets alone: build scripts and macros link no libFuzzer.
    export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares"
    host=$(rustc -vV | sed -n 's/^host: //p')
    out=${CARGO_TARGET_DIR:-target}/fuzz
    cargo build -p ironlight-fuzz --bins --features libfuzzer --profile fuzz --target "$host" --target-dir "$out"
    for target in ${targets:-$all}; do
        if [[ " $all " != *" $target "* ]]; then
            echo "error: no target $target; there are $all" >&2
            exit 1
        fi
        corpus=$out/corpus/$target found=$out/found/$target log=$out/$target.log
        rm -rf "$corpus"
        mkdir -p "$corpus" "$found"
        # Messages may be longer, but decoders judge lengths first: short inputs reach all there is.
        if ! IRONLIGHT_FUZZ_SEEDS=$corpus "$out/$host/fuzz/$target" "$corpus" \
            -max_total_time={{ quote(seconds) }} -max_len=4096 -rss_limit_mb=1024 -timeout=10 \
            -artifact_prefix="$found/" >"$log" 2>&1; then
            tail -n 40 "$log" >&2
            echo "error: $target failed; the input is the newest file in $found; to check it again:" >&2
            echo "    cargo run -p ironlight-fuzz --bin $target -- FILE" >&2
            exit 1
        fi
        # Of the seeds, then of all inputs kept: their number and the code that they reach.
        echo "$target: $(sed -En 's/^#[0-9]+\s+INITED (cov: [0-9]+).*/seeds \1/p' "$log")," \
            "$(sed -En 's/^#([0-9]+)\s+DONE +(cov: [0-9]+).*/\1 inputs \2/p' "$log" | grep .)"
    done

# Check licences, sources and banned crates of every dependency (needs cargo-deny)
deny:
    cargo fetch --locked
    cargo deny --offline --locked check --hide-inclusion-graph licenses sources bans

# Run the tests on real Bitcoin data (IRONLIGHT_TEST_DATA, else ../shared/data)
[script]
data: test-build
    data=${IRONLIGHT_TEST_DATA:-../shared/data}
    if [[ -z ${IRONLIGHT_TEST_DATA:-} && ! -d $data ]]; then
        echo "not run: needs real Bitcoin data in ../shared/data or IRONLIGHT_TEST_DATA"
        exit 0
    fi
    if [[ ! -d $data ]]; then
        echo "error: IRONLIGHT_TEST_DATA is $data, which is not a directory" >&2
        exit 1
    fi
    export IRONLIGHT_TEST_DATA=$(realpath "$data")
    cargo test --workspace --no-fail-fast --test 'real_*' -- --ignored --show-output

# Run the journeys against Bitcoin Core (BITCOIND_EXE, else ../shared/tools/bitcoind, else PATH)
[script]
core: test-build
    bitcoind=${BITCOIND_EXE:-}
    if [[ -z $bitcoind && -x ../shared/tools/bitcoind ]]; then
        bitcoind=../shared/tools/bitcoind
    elif [[ -z $bitcoind ]]; then
        bitcoind=$(command -v bitcoind) || {
            echo "not run: needs bitcoind on PATH or its path in BITCOIND_EXE"
            exit 0
        }
    fi
    if [[ ! -x $bitcoind ]]; then
        echo "error: BITCOIND_EXE is $bitcoind, which is not a program" >&2
        exit 1
    fi
    export BITCOIND_EXE=$(realpath "$bitcoind")
    cargo test --workspace --no-fail-fast --test 'core_*' -- --ignored --show-output

# Open a report of ironlight-stress in a browser (CHROMIUM_EXE, else chromium or google-chrome on PATH)
[script]
page: test-build
    chromium=${CHROMIUM_EXE:-}
    if [[ -z $chromium ]]; then
        chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
            echo "not run: needs chromium on PATH or its path in CHROMIUM_EXE"
            exit 0
        }
    fi
    if [[ ! -x $chromium ]]; then
        echo "error: CHROMIUM_EXE is $chromium, which is not a program" >&2
        exit 1
    fi
    # Not through links: some are to a program that goes by its name.
    export CHROMIUM_EXE=$(realpath -s "$chromium")
    cargo test --workspace --no-fail-fast --test 'chromium_*' -- --ignored --show-output

# Everything above that a change must pass, in order, with times
ci:
    .ci/run
