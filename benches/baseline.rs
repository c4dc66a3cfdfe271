//! The least that a Rust program over rusqlite can do, to compare jobctl with: the same rows into the same tables, without
//! limits, checks, catalogue or recovery.
//!
//! `baseline one DB` stores one run durably and prints its id. `baseline bulk DB FILE ROWS` parses nothing: it stores the
//! same rows as an import of FILE has, in transactions of as many; with `dedup` it also keeps one key for each.
#![expect(clippy::disallowed_macros, reason = "a program of its own")]

use rusqlite::{Connection, OpenFlags, params};

const RUN: &str = "
    INSERT INTO run (
        job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts, max_crashes, guarantee,
        params, has_payload, idempotency_key, trigger, initiator, dedup_key
    ) VALUES ('bench', 'default', '', 100, 'waiting', 1, ?1, ?2, ?2, 3, 3, 'at-least-once', ?3, 1, ?4, 'manual', 'root', ?5)";
const PAYLOAD: &str = "INSERT INTO payload (run, body) VALUES (?1, ?2)";
const DEDUP: &str =
    "INSERT INTO dedup (hash, job, key, run, until_ms) VALUES (?1, 'bench', ?2, ?3, ?4)";
const NOW_MS: i64 = 1_900_000_000_000;

fn main() -> rusqlite::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["one", db] => one(db),
        ["bulk", db, rows, slice, dedup] => bulk(
            db,
            rows.parse().unwrap_or(0),
            slice.parse().unwrap_or(1),
            dedup == "dedup",
        ),
        _ => {
            println!("usage: baseline one DB | baseline bulk DB ROWS SLICE dedup|plain");
            Ok(())
        }
    }
}

fn open(db: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(db, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(conn)
}

fn one(db: &str) -> rusqlite::Result<()> {
    let conn = open(db)?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.execute(
        RUN,
        params![NOW_MS, NOW_MS, "{\"to\":\"a\"}", [7u8; 16], None::<&str>],
    )?;
    let id = conn.last_insert_rowid();
    conn.execute_batch("COMMIT")?;
    println!("{id}");
    Ok(())
}

fn bulk(db: &str, rows: u64, slice: u64, dedup: bool) -> rusqlite::Result<()> {
    let conn = open(db)?;
    let mut run = conn.prepare(RUN)?;
    let mut payload = conn.prepare(PAYLOAD)?;
    let mut key_of = conn.prepare(DEDUP)?;
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(180));
    for first in (0..rows).step_by(slice.max(1) as usize) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for row in first..rows.min(first + slice) {
            let params = format!("{{\"to\":\"user-{row}\"}}");
            let key = dedup.then(|| format!("user-{row}"));
            run.execute(params![NOW_MS, NOW_MS, params, [7u8; 16], key])?;
            let id = conn.last_insert_rowid();
            payload.execute(params![id, body.as_bytes()])?;
            if let Some(key) = key {
                // Spread like a hash, and as cheap as none.
                let hash = (row as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
                key_of.execute(params![hash, key, id, NOW_MS])?;
            }
        }
        conn.execute_batch("COMMIT")?;
    }
    Ok(())
}
