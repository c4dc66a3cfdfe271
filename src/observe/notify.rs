//! Notifies the service manager, by the protocol of `sd_notify(3)`: ready, status, watchdog.
//!
//! Rule: nothing here blocks or fails, and without `NOTIFY_SOCKET` nothing is done. The main loop itself sends the watchdog message,
//! never a separate thread, so that the message proves that the loop runs.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::event::LogEvent;
use super::log;
use crate::clock;
use crate::units::visible;

/// systemd drops messages of more than 4,096 bytes; a character has at most four.
const VALUE_CHARS_MAX: usize = 500;

/// Shortest watchdog interval.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notify(Option<Manager>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The watchdog interval, and when the next message is due.
    watchdog: Option<(Duration, Instant)>,
    /// The last status that was sent.
    status: String,
    /// The last state that could not be sent because the queue was full. It is sent before any other message.
    unsent: Option<String>,
}

impl Notify {
    /// The manager that `NOTIFY_SOCKET` and `WATCHDOG_USEC` name. If its socket cannot be used, that is logged and nothing is sent.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok();
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let interval = interval(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self::open(&name, interval).unwrap_or_else(|error| {
            log::write(&LogEvent::ServiceManagerUnreachable {
                socket: name.to_string_lossy(),
                error: error.to_string().into(),
            });
            Self::default()
        })
    }

    fn open(name: &OsStr, interval: Option<Duration>) -> io::Result<Self> {
        let address = address(name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Manager {
            socket,
            address,
            watchdog: interval.map(|interval| (interval, clock::monotonic())),
            status: String::new(),
            unsent: None,
        })))
    }

    /// Whether there is a service manager; if not, no status needs to be computed.
    pub fn is_connected(&self) -> bool {
        self.0.is_some()
    }

    /// The start, or a reload, is complete.
    pub fn ready(&mut self, status: &str) {
        self.status(status);
        self.state(&[("READY", "1")]);
    }

    /// The status that `systemctl status` shows; sent only when it has changed.
    pub fn status(&mut self, status: &str) {
        let Some(manager) = &mut self.0 else { return };
        if manager.flush() && manager.status != status && manager.send(&[("STATUS", status)]) {
            status.clone_into(&mut manager.status);
        }
    }

    /// A reload begins; it ends with [`Notify::ready`].
    pub fn reloading(&mut self) {
        let now = clock::monotonic_usec().to_string();
        self.state(&[("RELOADING", "1"), ("MONOTONIC_USEC", &now)]);
    }

    /// A stop begins.
    pub fn stopping(&mut self) {
        self.state(&[("STOPPING", "1")]);
    }

    /// Asks the manager to allow this much more time for the start, reload or stop. The manager also waits this long for the next watchdog
    /// message, so a loop should ask for short extensions repeatedly.
    pub fn extend_timeout(&mut self, by: Duration) {
        let Some(manager) = &mut self.0 else { return };
        if !by.is_zero() && manager.flush() {
            manager.send(&[("EXTEND_TIMEOUT_USEC", &by.as_micros().to_string())]);
        }
    }

    /// Sends the watchdog message if it is due. To be called in every turn of the main loop, and nowhere else.
    pub fn watchdog(&mut self) {
        let Some(manager) = &mut self.0 else { return };
        let Some((interval, at)) = manager.watchdog else {
            return;
        };
        let now = clock::monotonic();
        if now < at {
            return;
        }
        let sent = manager.flush() && manager.send(&[("WATCHDOG", "1")]);
        // After a failed send, retry well before the manager's limit.
        let next = if sent { interval } else { interval / 8 };
        manager.watchdog = Some((interval, now + next));
    }

    /// When the next watchdog message is due; the main loop must not sleep longer.
    pub fn watchdog_at(&self) -> Option<Instant> {
        self.0.as_ref()?.watchdog.map(|(_, at)| at)
    }

    /// Sends a state; if that fails, it is sent later, unless a newer state replaces it.
    fn state(&mut self, lines: &[(&str, &str)]) {
        if let Some(manager) = &mut self.0 {
            manager.unsent = Some(message(lines));
            manager.flush();
        }
    }
}

impl Manager {
    /// Sends the state that could not be sent; returns whether none is left.
    fn flush(&mut self) -> bool {
        if let Some(text) = &self.unsent
            && self.send_text(text)
        {
            self.unsent = None;
        }
        self.unsent.is_none()
    }

    fn send(&self, lines: &[(&str, &str)]) -> bool {
        self.send_text(&message(lines))
    }

    /// The socket is not connected, so that a manager that recreates its own socket is reached.
    fn send_text(&self, text: &str) -> bool {
        let sent = self.socket.send_to_addr(text.as_bytes(), &self.address);
        sent.is_ok()
    }
}

/// The address of a path, or of an abstract name after `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither an absolute path nor an abstract name",
        )),
    }
}

/// The watchdog interval of the process `own`; `None` if the manager expects messages from another process or from none.
fn interval(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    let is_ours = match pid {
        Some(pid) => pid.parse() == Ok(own),
        None => true,
    };
    is_ours.then(|| Duration::from_micros(usec / 2).max(INTERVAL_MIN))
}

/// Assignments, one per line. Values are escaped and shortened.
fn message(lines: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in lines {
        let _ = write!(text, "{name}=");
        text.extend(value.chars().map(visible).take(VALUE_CHARS_MAX));
        if value.chars().nth(VALUE_CHARS_MAX).is_some() {
            text.push('…');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_value_cannot_leave_its_line_and_fits_into_a_message() {
        assert_eq!(
            message(&[("READY", "1"), ("STATUS", "a\nSTOPPING=1\r\0b")]),
            "READY=1\nSTATUS=a\u{fffd}STOPPING=1\u{fffd}\u{fffd}b\n"
        );
        let long = message(&[("STATUS", &"😀".repeat(9_999))]);
        assert!(long.len() < 4096 && long.ends_with("😀…\n"), "{long}");
    }

    #[test]
    fn the_watchdog_interval_applies_only_to_the_named_process() {
        let half = Some(Duration::from_secs(15));
        let usec = Some("30000000");
        assert_eq!(interval(usec, None, 7), half);
        assert_eq!(interval(usec, Some("7"), 7), half);
        assert_eq!(interval(usec, Some("8"), 7), None);
        assert_eq!(interval(usec, Some(""), 7), None);
        assert_eq!(interval(Some("1"), None, 7), Some(INTERVAL_MIN));
        for none in [None, Some(""), Some("0"), Some("-1"), Some("1s")] {
            assert_eq!(interval(none, None, 7), None, "{none:?}");
        }
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let of = |name: &str| address(OsStr::new(name)).ok();
        let path = of("/run/systemd/notify").unwrap();
        assert_eq!(path.as_pathname(), Some(Path::new("/run/systemd/notify")));
        let name = of("@jobctl").unwrap();
        assert_eq!(name.as_abstract_name(), Some(b"jobctl".as_slice()));
        let long = format!("/{}", "x".repeat(200));
        for wrong in ["@", "notify", "vsock:2:1234", &long] {
            assert!(of(wrong).is_none(), "{wrong}");
        }
    }

    /// A manager and its socket, in a temporary directory.
    fn manager(interval: Option<Duration>) -> (tempfile::TempDir, UnixDatagram, Notify) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let notify = Notify::open(path.as_os_str(), interval).unwrap();
        (dir, socket, notify)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut bytes = [0; 4096];
        std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|n| bytes[..n].to_vec()))
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect()
    }

    #[test]
    fn a_status_is_sent_when_it_changes() {
        let (_dir, socket, mut notify) = manager(None);
        notify.ready("idle");
        notify.status("idle");
        notify.status("busy");
        notify.status("busy");
        notify.extend_timeout(Duration::from_millis(1500));
        notify.extend_timeout(Duration::ZERO);
        notify.watchdog();
        notify.stopping();
        let said = [
            "STATUS=idle\n",
            "READY=1\n",
            "STATUS=busy\n",
            "EXTEND_TIMEOUT_USEC=1500000\n",
            "STOPPING=1\n",
        ];
        assert_eq!(heard(&socket), said);
        notify.reloading();
        let heard = heard(&socket).concat();
        let usec = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.trim_end().parse::<u64>().is_ok_and(|usec| usec > 0));
    }

    #[test]
    fn watchdog_messages_are_sent_once_per_interval() {
        let (_dir, socket, mut notify) = manager(Some(Duration::from_hours(1)));
        for _ in 0..10 {
            notify.watchdog();
        }
        assert_eq!(heard(&socket), ["WATCHDOG=1\n"]);
        assert!(notify.watchdog_at() > Some(clock::monotonic() + Duration::from_mins(59)));
    }

    #[test]
    fn a_state_that_finds_the_queue_full_is_sent_later() {
        let (_dir, socket, mut notify) = manager(Some(Duration::from_hours(1)));
        let mut sent = 0;
        while notify.0.as_ref().unwrap().send(&[("FULL", "1")]) {
            sent += 1;
        }
        notify.ready("idle");
        notify.reloading();
        notify.ready("idle");
        notify.watchdog();
        assert!(notify.watchdog_at() < Some(clock::monotonic() + Duration::from_mins(30)));
        assert_eq!(heard(&socket).len(), sent);
        notify.status("idle");
        assert_eq!(heard(&socket), ["READY=1\n", "STATUS=idle\n"]);
    }

    #[test]
    fn a_manager_that_recreates_its_socket_is_reached() {
        let (dir, socket, mut notify) = manager(None);
        drop(socket);
        std::fs::remove_file(dir.path().join("notify")).unwrap();
        notify.ready("idle");
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        notify.status("idle");
        assert_eq!(heard(&socket), ["READY=1\n", "STATUS=idle\n"]);
    }

    #[test]
    fn without_a_manager_nothing_is_sent() {
        let mut none = Notify::default();
        none.ready("idle");
        none.watchdog();
        none.stopping();
        assert!(!none.is_connected());
        assert_eq!(none.watchdog_at(), None);
    }
}
