//! A writer that is killed while it writes leaves a log that is right up to where it ends, and the
//! next one goes on from there.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::{env, fs, thread};

    use ironlight_hardening::audit::{
        AuditConfig, AuditLog, Damage, Event, EventKind, FileConfig, FileSink, verify_dir,
    };

    /// Set where this process is the one that is killed.
    const DIR: &str = "IRONLIGHT_AUDIT_KILL_DIR";

    /// Writes until it is killed.
    fn write(dir: PathBuf) {
        let sink = FileSink::new(FileConfig { dir, segment_bytes: 20_000 });
        let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
        // Bounded, should nobody kill it; what is too fast is lost in gaps.
        for i in 0..20_000_000_u64 {
            let event = Event::new(EventKind::Ban).on("peer").with("i", i);
            if log.emit(event).is_err() {
                thread::yield_now();
            }
        }
    }

    fn start_writer(dir: &Path) -> Child {
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "tests::fifty_kills_leave_fifty_right_logs"])
            .env(DIR, dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The newest file's name, and how long it is.
    fn end_of(dir: &Path) -> (String, u64) {
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        let sizes = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            Some((name, file.metadata().ok()?.len()))
        });
        sizes.filter(|(name, _)| name.ends_with(".jsonl")).max().unwrap_or_default()
    }

    #[test]
    fn fifty_kills_leave_fifty_right_logs() {
        if let Some(dir) = env::var_os(DIR) {
            return write(dir.into());
        }
        let dir = tempfile::tempdir().unwrap();
        let (mut random, mut size, mut torn) = (1_u64, 0, 0);
        for round in 0..50 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (name, length) = end_of(dir.path());
            let mut child = start_writer(dir.path());
            let (files, more) = (random >> 62, 500 + (random >> 48) % 15_000);
            // Until it has begun so many files, or the newest is so much longer; then at once. An
            // older file says nothing: a newest one that is empty is first removed.
            let (mut newest, mut begun, mut polls) = (name, 0, 0_u64);
            while polls < 5_000_000 {
                let (now, at) = end_of(dir.path());
                if now > newest {
                    (newest, begun) = (now, begun + 1);
                } else if now == newest
                    && begun >= files
                    && at > more + if begun == 0 { length } else { 0 }
                {
                    break;
                }
                thread::yield_now();
                polls += 1;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            let report = verify_dir(dir.path(), &[]).unwrap();
            assert!(report.size > size, "round {round}: something was written");
            if let Some(found) = report.tampering {
                // Nothing but a last record without an end, which the next writer sets aside.
                assert_eq!((found.index, found.what), (report.size, Damage::Torn), "round {round}");
                torn += 1;
            }
            size = report.size;
        }
        let sink = FileSink::new(FileConfig::new(dir.path()));
        let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
        log.emit(Event::new(EventKind::Stop)).unwrap();
        assert!(log.shutdown());
        let report = verify_dir(dir.path(), &[]).unwrap();
        assert_eq!(report.tampering, None);
        let files = fs::read_dir(dir.path()).unwrap().count();
        println!("{size} records in {files} files, {torn} of 50 ends torn");
        assert!(report.size > size);
    }
}
