//! Real mainnet headers from one light node to another, two processes of the program.

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use ironlight_tests::{Daemon, real_data};

    const HEADERS: u64 = 10_237;
    const TIP: &str = "000000004f74d42205b9d7ae1cb5c1591e723894a71358fce73b7e0919628161";
    const LIMIT: Duration = Duration::from_secs(60);

    fn run(arguments: &[&str], data_dir: &Path) -> String {
        let data_dir = data_dir.to_str().unwrap();
        let output = Daemon::command(&[arguments, &["--data-dir", data_dir]].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
        text(output.stdout)
    }

    fn light_node(data_dir: &Path, options: &[&str]) -> Daemon {
        let settings = ["--networks", "libp2p", "--no-seeds"];
        Daemon::start_on("mainnet", data_dir, &[&settings, options].concat())
    }

    #[test]
    #[ignore = "needs real Bitcoin data (IRONLIGHT_TEST_DATA)"]
    fn a_node_with_mainnets_first_headers_serves_them_to_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let [served, empty, strict] = ["a", "b", "c"].map(|name| directory.path().join(name));
        let file = real_data("mainnet-headers-000000-010236.bin");
        run(&["headers", "import", "--network", "mainnet", file.to_str().unwrap()], &served);
        let mut server = light_node(&served, &["--listen", "/ip4/127.0.0.1/tcp/0"]);
        let address = server.line("listening for light nodes", LIMIT)["address"].clone();
        let address = address.as_str().unwrap();

        let mut receiver = light_node(&empty, &["--peer", address, "--min-chain-work", "0"]);
        receiver.line("light node joined", LIMIT);
        receiver.reaches(TIP, LIMIT);
        assert!(receiver.stop().success());
        // Verified once more from disk, by all rules, and bit for bit what was imported.
        let copy = directory.path().join("copy.bin");
        let told =
            run(&["headers", "export", "--network", "mainnet", copy.to_str().unwrap()], &empty);
        assert!(told.contains(&format!("wrote {HEADERS} headers")), "{told}");
        assert!(std::fs::read(copy).unwrap() == std::fs::read(file).unwrap());

        let mut strict_one = light_node(&strict, &["--peer", address]);
        let refusal = strict_one
            .line("the peers' chain is below the minimum chain work", Duration::from_secs(120));
        println!("without --min-chain-work 0: {refusal}");
        let status = run(&["status", "--network", "mainnet", "--json"], &strict);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["phase"], "below the minimum chain work");
        assert_eq!(status["tip"]["height"], 0, "nothing of it is kept");
        assert!(strict_one.stop().success());
    }
}
